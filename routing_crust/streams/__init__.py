"""
Byte streams between nodes, by name: any Twisted protocol over the links of routing.
"""
