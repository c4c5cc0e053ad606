"""The textbook's claims: each phenomenon predicted and measured, and its figure."""
