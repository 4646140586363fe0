"""The AudioSet classes that can be synthesised, with the words of their captions."""

from collections.abc import Callable
from dataclasses import dataclass, field

from curation.synth import sounds_animals as animals
from curation.synth import sounds_machines as machines
from curation.synth import sounds_nature as nature
from curation.synth import sounds_people as people
from curation.synth import sounds_signals as signals
from curation.synth import sounds_struck as struck
from curation.synth.dsp import Audio, Rng


@dataclass(frozen=True)
class Clause:
    """A subject and a verb: ("a dog", "barks", "barking"). Plural subjects take verbs without s."""

    subject: str
    verb: str
    participle: str

    def finite(self) -> tuple[str, str]:
        """Return the clause as sentences: "a dog barks", "a dog is barking"."""
        auxiliary = "is" if self.verb.split()[0].endswith("s") else "are"
        return f"{self.subject} {self.verb}", f"{self.subject} {auxiliary} {self.participle}"

    def nominal(self) -> str:
        """Return the clause as a noun phrase: "a dog barking"."""
        return f"{self.subject} {self.participle}"


@dataclass(frozen=True)
class SoundClass:
    """A class of sounds that can be synthesised.

    `mid` and `name` are those of AudioSet. `keywords` are word stems: each clause of the class
    contains one of them, and no clause of another class does. `render(rng, samples,
    sample_rate_hz)` returns float32 `[samples]` at any level. Classes of the same `family` are too
    similar to be distinguished in one clip. A class with `continuous` set can be a background.
    """

    key: str
    mid: str
    name: str
    clauses: tuple[Clause, ...]
    keywords: tuple[str, ...]
    family: str
    continuous: bool
    render: Callable[[Rng, int, int], Audio] = field(repr=False, compare=False)

    @property
    def phrases(self) -> tuple[str, ...]:
        """Return every clause as sentences, such as "a dog barks" and "a dog is barking"."""
        return tuple(phrase for clause in self.clauses for phrase in clause.finite())


def _class_row(
    render: Callable[[Rng, int, int], Audio],
    mid: str,
    name: str,
    clauses: str,
    keywords: str,
    family: str,
    continuous: bool = False,
) -> SoundClass:
    """A table row: `clauses` as "subject|verb|participle" between semicolons."""
    parsed = tuple(Clause(*clause.split("|")) for clause in clauses.split("; "))
    key = render.__name__
    return SoundClass(key, mid, name, parsed, tuple(keywords.split()), family, continuous, render)


SOUND_CLASSES: tuple[SoundClass, ...] = (
    _class_row(animals.dog_bark, "/m/05tny_", "Bark",
           "a dog|barks|barking; a dog|yelps|yelping",
           "dog bark yelp", "dog"),
    _class_row(animals.cat_meow, "/m/07qrkrw", "Meow",
           "a cat|meows|meowing; a kitten|meows|meowing",
           "cat kitten meow", "mew"),
    _class_row(animals.rooster, "/m/07qn5dc", "Crowing, cock-a-doodle-doo",
           "a rooster|crows|crowing; a cockerel|crows|crowing",
           "rooster cockerel", "rooster"),
    _class_row(animals.crow_caw, "/m/07r5c2p", "Caw",
           "a crow|caws|cawing; crows|caw|cawing",
           "caw", "caw"),
    _class_row(animals.bird_chirp, "/m/07pggtn", "Chirp, tweet",
           "a bird|chirps|chirping; birds|sing|singing; birds|chirp|chirping",
           "bird", "whistle", True),
    _class_row(animals.cow_moo, "/m/07rpkh9", "Moo",
           "a cow|moos|mooing; a cow|calls|calling",
           "cow moo", "cow"),
    _class_row(animals.sheep_bleat, "/m/07q0h5t", "Bleat",
           "a sheep|bleats|bleating; a lamb|bleats|bleating",
           "sheep lamb bleat", "mew"),
    _class_row(animals.frog_croak, "/m/07st88b", "Croak",
           "a frog|croaks|croaking; frogs|croak|croaking",
           "frog croak", "frog", True),
    _class_row(animals.cricket, "/m/09xqv", "Cricket",
           "a cricket|chirps|chirping; crickets|chirp|chirping",
           "cricket", "cricket", True),
    _class_row(animals.bee_buzz, "/m/01h3n", "Bee, wasp, etc.",
           "a bee|buzzes|buzzing; bees|buzz|buzzing",
           "buzz", "motor", True),
    _class_row(animals.owl_hoot, "/m/07r_80w", "Hoot",
           "an owl|hoots|hooting; an owl|calls|calling",
           "owl hoot", "owl"),
    _class_row(animals.duck_quack, "/m/07qdb04", "Quack",
           "a duck|quacks|quacking; ducks|quack|quacking",
           "duck quack", "caw"),
    _class_row(people.baby_cry, "/t/dd00002", "Baby cry, infant cry",
           "a baby|cries|crying; an infant|cries|crying; a baby|wails|wailing",
           "baby infant", "mew"),
    _class_row(people.sneeze, "/m/01hsr_", "Sneeze",
           "a person|sneezes|sneezing; someone|sneezes|sneezing",
           "sneez", "sneeze"),
    _class_row(people.laughter, "/m/01j3sz", "Laughter",
           "a person|laughs|laughing; someone|laughs|laughing",
           "laugh", "laugh"),
    _class_row(people.applause, "/m/028ght", "Applause",
           "people|applaud|applauding; a crowd|claps|clapping; people|clap|clapping",
           "applau clap", "hiss", True),
    _class_row(people.footsteps, "/m/07pbtc8", "Walk, footsteps",
           "a person|walks|walking; someone|walks|walking",
           "walk footstep", "thump"),
    _class_row(people.whistling, "/m/01w250", "Whistling",
           "a person|whistles|whistling; someone|whistles|whistling",
           "whistl", "whistle"),
    _class_row(nature.rain, "/m/06mb1", "Rain",
           "rain|falls|falling; rain|patters|pattering; rain|pours|pouring",
           "rain", "hiss", True),
    _class_row(nature.sea_waves, "/m/034srq", "Waves, surf",
           "waves|crash|crashing; waves|break|breaking; the surf|roars|roaring",
           "wave surf", "hiss", True),
    _class_row(nature.wind, "/m/03m9d0z", "Wind",
           "wind|blows|blowing; wind|howls|howling",
           "wind", "hiss", True),
    _class_row(nature.thunder, "/m/0ngt1", "Thunder",
           "thunder|rumbles|rumbling; thunder|rolls|rolling; thunder|roars|roaring",
           "thunder", "bang"),
    _class_row(nature.stream, "/m/0j6m2", "Stream",
           "a stream|flows|flowing; a brook|flows|flowing; a stream|babbles|babbling",
           "stream brook", "hiss", True),
    _class_row(nature.water_drip, "/m/07r5v4s", "Drip",
           "water|drips|dripping; a tap|drips|dripping",
           "drip", "tick"),
    _class_row(nature.fire, "/m/07pzfmf", "Crackle",
           "a fire|crackles|crackling; a fire|burns|burning",
           "fire crackl", "crackle", True),
    _class_row(machines.helicopter, "/m/09ct_", "Helicopter",
           "a helicopter|flies|flying; a helicopter|hovers|hovering",
           "helicopter", "motor", True),
    _class_row(machines.chainsaw, "/m/01j4z9", "Chainsaw",
           "a chainsaw|runs|running; a chainsaw|cuts|cutting; a chainsaw|revs|revving",
           "chainsaw", "motor", True),
    _class_row(machines.engine_idling, "/m/07pb8fc", "Idling",
           "an engine|idles|idling; a motor|idles|idling; an engine|runs|running",
           "engine motor idl", "motor", True),
    _class_row(machines.motorcycle, "/m/04_sv", "Motorcycle",
           "a motorcycle|revs|revving; a motorcycle|accelerates|accelerating",
           "motorcycle", "motor", True),
    _class_row(machines.vacuum_cleaner, "/m/0d31p", "Vacuum cleaner",
           "a vacuum cleaner|runs|running; a vacuum cleaner|hums|humming",
           "vacuum", "hiss", True),
    _class_row(struck.clock_tick, "/m/07qjznl", "Tick-tock",
           "a clock|ticks|ticking; a watch|ticks|ticking",
           "tick", "tick", True),
    _class_row(struck.typing, "/m/0316dw", "Typing",
           "a person|types|typing; someone|types|typing",
           "type typing", "tick"),
    _class_row(signals.vehicle_horn, "/m/0912c9", "Vehicle horn, car horn, honking",
           "a car|honks|honking; a car horn|honks|honking",
           "car honk", "horn"),
    _class_row(signals.train_horn, "/m/0284vy3", "Train horn",
           "a train horn|blows|blowing; a train horn|sounds|sounding",
           "train", "horn"),
    _class_row(signals.siren, "/m/03kmc9", "Siren",
           "a siren|wails|wailing; a siren|sounds|sounding; a siren|howls|howling",
           "siren", "siren", True),
    _class_row(signals.alarm_clock, "/m/046dlr", "Alarm clock",
           "an alarm clock|beeps|beeping; an alarm|beeps|beeping; an alarm clock|sounds|sounding",
           "alarm beep", "beep", True),
    _class_row(signals.church_bell, "/m/03w41f", "Church bell",
           "a church bell|rings|ringing; a church bell|tolls|tolling; church bells|ring|ringing",
           "church toll", "bell", True),
    _class_row(signals.bicycle_bell, "/m/0gy1t2s", "Bicycle bell",
           "a bicycle bell|rings|ringing; a bike bell|rings|ringing",
           "bicycle bike", "bell"),
    _class_row(signals.doorbell, "/m/03wwcy", "Doorbell",
           "a doorbell|rings|ringing; a doorbell|chimes|chiming",
           "doorbell", "bell"),
    _class_row(signals.telephone_ring, "/m/07pp8cl", "Telephone bell ringing",
           "a telephone|rings|ringing; a phone|rings|ringing",
           "telephone phone", "bell"),
    _class_row(struck.knock, "/m/07r4wb8", "Knock",
           "someone|knocks|knocking; a person|knocks|knocking",
           "knock", "thump"),
    _class_row(struck.glass_shatter, "/m/07rn7sz", "Shatter",
           "glass|shatters|shattering; glass|breaks|breaking",
           "glass shatter", "glass"),
    _class_row(struck.gunshot, "/m/032s66", "Gunshot, gunfire",
           "a gun|shoots|shooting; a gun|bangs|banging",
           "gun shoot", "bang"),
    _class_row(struck.fireworks, "/m/0g6b5", "Fireworks",
           "fireworks|explode|exploding; fireworks|bang|banging",
           "firework", "bang"),
)  # fmt: skip

CLASSES_BY_KEY: dict[str, SoundClass] = {sound.key: sound for sound in SOUND_CLASSES}
