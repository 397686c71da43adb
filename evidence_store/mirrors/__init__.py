"""Checkpoints kept elsewhere: folders and addresses that the force names, each sent every one in time."""
