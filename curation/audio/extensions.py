"""The extensions of files that can be decoded, which is decided by a file's content alone.

A listing uses them to tell sound files from others without reading them. Left out are names that
mostly belong to other data, .mat and .htk; metadata may name such files all the same.
"""

DECODABLE_EXTENSIONS = frozenset(
    """
    3g2 3gp 3gpp 8svx aac ac3 adts aif aifc aiff amb amr ape asf au avi avr awb bwf caf dff divx
    dsf dts eac3 f4a f4v flac flv gsm iff ircam m2a m2p m2t m2ts m4a m4b m4p m4r m4v mj2 mk3d mka
    mkv mogg mov mp1 mp2 mp3 mp4 mp4a mpa mpc mpe mpeg mpg mpga mts nist oga ogg ogm ogv ogx opus
    paf pvf qt rf64 sds sf snd sph spx svx tak ts tta vob voc w64 wav wave weba webm wma wmv wv wve
    """.split()
)
