from support.command_line import pcacam
from support.small_papers import made, small_paper

__all__ = ["made", "pcacam", "small_paper"]
