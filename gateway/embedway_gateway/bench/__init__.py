"""How fast does an endpoint embed, and how long does a caller wait?"""
