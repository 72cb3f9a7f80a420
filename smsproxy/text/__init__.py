"""What a text becomes on the air: alphabets, segments and their headers (spec §2.4).

Pure functions over `str` and `bytes`. `segmentation.segment` is the one way in for SendMessage and
CheckTextLen; the alphabets below it are also used by the simulator, which reads texts back.
"""
