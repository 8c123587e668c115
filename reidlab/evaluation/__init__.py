"""reidlab.evaluation"""
