"""The speech of this example: sentences of our own, read by espeak-ng (Debian: espeak-ng)."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import wave

import numpy as np
from mel import RATE
from scenes import compress

# language -> sentences; the voices below are variants of espeak-ng's own
TRAIN_TEXTS = {
    "en-gb": (
        "The kettle is on the stove, and nobody has fed the cat.",
        "Turn left after the bridge.",
        "How many of these small boxes fit on a shelf?",
        "Stop.",
    ),
    "en-us": (
        "We should have left an hour before the snow began.",
        "Yes, switch it off, please.",
        "Eleven boys were fishing for a very old shoe.",
        "Good morning, what can I do for you?",
    ),
    "de": (
        "Der Zug nach Norden wartet noch auf Gleis sieben.",
        "Mach bitte das Fenster zu.",
        "Wer hat den letzten Apfel gegessen?",
    ),
    "fr": (
        "Le chat dort sous la table depuis ce matin.",
        "Je voudrais deux billets pour demain.",
        "Attends un peu.",
    ),
    "es": (
        "Mi hermana trabaja en una panadería cerca del río.",
        "¿Dónde están las llaves del coche?",
        "Buenas noches.",
    ),
    "it": (
        "Domani mattina andiamo al mercato con la bicicletta.",
        "Che ore sono?",
        "La finestra della cucina è ancora aperta.",
    ),
    "pl": (
        "Wczoraj wieczorem padał deszcz i było bardzo zimno.",
        "Gdzie jest moja czapka?",
    ),
    "cs": (
        "Zítra pojedeme vlakem k moři.",
        "Pes spí celý den pod stromem.",
    ),
    "tr": (
        "Bu sabah denizin üstünde hiç rüzgar yoktu.",
        "Bize de bir bardak su verir misin?",
    ),
    "fi": (
        "Huomenna menemme järvelle uimaan.",
        "Missä minun kirjani on?",
    ),
}
TRAIN_VOICES = ("m1", "m3", "m5", "m7", "m8", "f1", "f3", "f5", "Alex", "Denis", "linda", "boris",
                "anika", "klatt", "klatt4", "whisper", "grandpa", "steph")  # fmt: skip
TEST_VOICES = (
    ("nl", "f2", "De melk staat in de koelkast, naast de kaas."),
    ("pt", "m2", "O barco volta ao porto antes da noite."),
    ("sv", "f4", "Var ligger den gamla kyrkan?"),
    ("hu", "m6", "A kertben piros virágok nyílnak."),
    ("id", "Andrea", "Anak itu membaca buku di bawah pohon."),
    ("nl", "Mario", "Morgen gaan we met de trein naar zee."),
    ("pt", "klatt2", "Fecha a porta, por favor."),
    ("sv", "Michael", "Vi dricker kaffe och väntar på bussen."),
)


def need_synthesiser() -> None:
    """End with a sentence where espeak-ng is not installed."""
    if shutil.which("espeak-ng") is None:
        sys.exit("espeak-ng is missing, which synthesises the speech: apt-get install espeak-ng")


def say(language: str, voice: str, text: str, speed: int, pitch: int) -> np.ndarray:
    """A sentence as samples at 16 kHz, peak 1, without the silence around it."""
    from scipy.signal import resample_poly

    command = ["espeak-ng", "-v", f"{language}+{voice}", "-s", str(speed), "-p", str(pitch)]
    done = subprocess.run([*command, "--stdout", text], check=True, capture_output=True)
    # espeak-ng cannot know the length when it writes the head of the file
    with wave.open(io.BytesIO(done.stdout)) as file:
        rate = file.getframerate()
    sound = np.frombuffer(done.stdout[44:], "<i2").astype(float)
    sound = resample_poly(sound, RATE, rate)
    loud = np.flatnonzero(np.abs(sound) > 0.005 * np.abs(sound).max())
    return sound[loud[0] : loud[-1] + 1] / np.abs(sound).max()


def talkers(rng: np.random.Generator, count: int) -> list[list[np.ndarray]]:
    """Talkers for training, each with three sentences, at a speed and a pitch of their own."""
    made = []
    for i in range(count):
        language = list(TRAIN_TEXTS)[i % len(TRAIN_TEXTS)]
        voice = TRAIN_VOICES[rng.integers(len(TRAIN_VOICES))]
        speed, pitch = int(rng.integers(110, 240)), int(rng.integers(15, 85))
        texts = rng.choice(TRAIN_TEXTS[language], 3)
        made.append([say(language, voice, text, speed, pitch) for text in texts])
    return made


def test_talkers() -> dict[str, np.ndarray]:
    """Talkers for the test, one sentence each, in 8 bits a sample."""
    return {
        f"{language}_{voice}": compress(say(language, voice, text, speed=165, pitch=50))
        for language, voice, text in TEST_VOICES
    }
