"""reidlab.data"""
