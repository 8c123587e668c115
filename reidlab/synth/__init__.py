"""reidlab.synth"""
