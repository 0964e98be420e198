"""How well does an endpoint's model find passages, and is it better than another's?"""
