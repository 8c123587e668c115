"""reidlab.recipes"""
