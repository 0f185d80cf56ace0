"""Connections through forwards in a laboratory whose links break, and how soon they go on."""
