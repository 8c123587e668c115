"""reidlab.explain"""
