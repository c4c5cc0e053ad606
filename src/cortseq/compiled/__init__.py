"""What the compiler needs: options, elementary functions, vectors, packed products, one thread."""
