"""Frames to result tables: spot finding, indexing, quality.

Nothing is imported here: import from the modules. Reading a file of spot lists, for example,
should not load torch, which only the indexer needs.
"""
