"""Kernels of a GPU, in Triton, that hold the loop over time of one batch.

One program runs one tile of trials of one member through all bins. It reads the recurrent weights once and
keeps them, as it keeps the states from bin to bin; only inputs, states and gradients cross the memory. The
products with the inputs and the gradients of all weights are single matrix products outside.

    rate.py     leaky units with a tanh or a ReLU: `rate`, `low_rank`, `dale`
    stp.py      leaky units with plastic synapses: `stp`
    lstm.py     long short-term memory: `lstm`
    tiles.py    what these three read, write and compute with
    states.py   the kernels as one function of torch that has a gradient

Each of the first three has `advance` and `back`, the update rule and its derivative for one bin of a tile,
and around them `forward` and `backward`, the loops over time. The weights of a program have to fit the
shared memory of a multiprocessor: at most 128 units, 64 of an LSTM, which has four matrices. The loops are
written in Triton's language (Tillet, Kung & Cox 2019, MAPL), in the part of it that has not changed since
version 3.2. Persistent recurrent kernels: Diamos et al. 2016, ICML.

Arrays are contiguous. With G gates (4 of an LSTM, else 1) and states those before each bin:

    weight (member, G hidden, hidden)              constants (member, constant, hidden)
    drive, activation, d_drive (member, trial, bin, G hidden)
    states (part, member, trial, bin, hidden)      d_out, released (member, trial, bin, hidden)
    d_start (part, member, trial, hidden)          d_constants (member, tile, constant, hidden)

Importing a module of this folder imports Triton. Set TRITON_INTERPRET=1 before that, and the kernels run
on a CPU in Triton's interpreter, on numpy: slowly, but with the same arithmetic.
"""
