"""
Routing: the layer that decides. It sees crust only through its interfaces.
"""
