"""reidlab.losses"""
