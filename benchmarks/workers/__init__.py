"""Small programs, one measurement each, run in the environment of a peer.

They import nothing of the harness and nothing of each other but `protocol`, `cases` and the
networks of their library; each takes one JSON argument and prints one JSON line.
"""
