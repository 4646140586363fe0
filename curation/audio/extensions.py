"""The extensions of files that can be decoded, which is decided by a file's content alone.

A listing uses them to tell sound files from others without reading them.
"""

DECODABLE_EXTENSIONS = frozenset(
    """
    3g2 3gp 8svx aac ac3 adts aif aifc aiff amr ape asf au avi avr awb bwf caf dff dsf dts eac3 f4a
    f4v flac flv gsm iff ircam m2ts m4a m4b m4r m4v mka mkv mov mp1 mp2 mp3 mp4 mpa mpc mpeg mpg
    mpga mts nist oga ogg ogm ogv ogx opus paf pvf qt rf64 snd spx sph svx tak ts tta voc vob w64
    wav wave webm wma wmv wv
    """.split()
)
