"""Compiled CPU kernels: one cell, read-out or input projection a file, numpy arrays in and out."""
