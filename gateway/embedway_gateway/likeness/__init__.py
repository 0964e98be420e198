"""Do two endpoints give the same vectors, and if not, why?"""
