"""
All streams with one peer: frames in, frames out, without I/O.
"""
