"""reidlab.models"""
