"""reidlab.report"""
