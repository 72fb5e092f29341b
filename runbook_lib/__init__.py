"""The helper library behind the runbook's notebooks.

The library computes, ``render`` draws, the notebooks narrate. Notebooks need one name from here:
:func:`open_phase`.
"""

__version__ = "0.1.0"
