from support.command_line import pcacam
from support.small_papers import reproduction, small_paper

__all__ = ["pcacam", "reproduction", "small_paper"]
