"""Portable collections: people, lists, saved views and settings, each as a small file that another
household can import.

The format is an envelope of its own (`envelope`) and not the v2 document, which is a whole library.
What a kind of item is made of stands in its module: `people`, `lists`, `views`, `settings`.
"""
