from support.small_papers import made, pcacam, small_paper

__all__ = ["made", "pcacam", "small_paper"]
