"""The extensions of files that are listed as audio. The content decides how a file is decoded.

A listing uses the extensions to recognise audio files without reading them. Extensions that mostly
belong to other data, .mat and .htk, are left out. Metadata may still name such files.
"""

DECODABLE_EXTENSIONS = frozenset(
    """
    3g2 3gp 3gpp 8svx aac ac3 adts aif aifc aiff amb amr ape asf au avi avr awb bwf caf dff divx
    dsf dts eac3 f4a f4v flac flv gsm iff ircam m2a m2p m2t m2ts m4a m4b m4p m4r m4v mj2 mk3d mka
    mkv mogg mov mp1 mp2 mp3 mp4 mp4a mpa mpc mpe mpeg mpg mpga mts nist oga ogg ogm ogv ogx opus
    paf pvf qt rf64 sds sf snd sph spx svx tak ts tta vob voc w64 wav wave weba webm wma wmv wv wve
    """.split()
)
