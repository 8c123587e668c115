"""reidlab.training"""
