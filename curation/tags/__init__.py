"""AudioSet's classes and hierarchy, and the guidance that a captioner gets from a clip's tags.

`audioset.json` contains the id, name, parents, label index and restrictions of all 632 classes of
the AudioSet ontology (https://github.com/audioset/ontology), published by Google under CC BY-SA
4.0. The file adds the index of each of the 527 labelled classes and omits the descriptions. It is
under the same licence.
"""
