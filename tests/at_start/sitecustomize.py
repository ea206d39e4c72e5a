"""Every Python process with this folder on its path judges films quickly, and knows the toys of `toys.py`."""

from quick_judge import judge_quickly
from toys import register

judge_quickly()
register()
