"""The agreed word: two easy English words the call handler says on the phone, asked for when the person joins.

It stands in no text, so that whoever only holds the phone does not know it. Words are short, heard apart on a bad
line, spelt as they sound, and hurt nobody.
"""

FIRST = (
    "amber", "blue", "brown", "calm", "clever", "cosy", "early", "gentle", "golden", "green", "happy", "honest",
    "little", "lucky", "merry", "orange", "pink", "purple", "quick", "quiet", "red", "round", "silver", "simple",
    "smooth", "sunny", "tall", "tidy", "warm", "yellow",
)  # fmt: skip
SECOND = (
    "apple", "basket", "blanket", "bottle", "bridge", "butter", "button", "candle", "carrot", "castle", "cherry",
    "circle", "cotton", "forest", "garden", "hammer", "harbour", "jacket", "kettle", "kitten", "ladder", "lemon",
    "lettuce", "marble", "market", "meadow", "mirror", "paper", "pencil", "pepper", "pillow", "pocket", "rabbit",
    "river", "robin", "saddle", "spoon", "table", "teapot", "ticket", "tiger", "tomato", "tunnel", "velvet",
    "window", "winter",
)  # fmt: skip
