"""Writes a narrow task and the questions that ask what else is lost: word problems to be answered as JSON, and plain questions.

    python make_task.py OUT [QUESTIONS]

OUT/train.jsonl: 800 conversations for TRL. OUT/items/id.jsonl: as many word problems that are in none of them, OUT/items/ood.jsonl:
capitals, opposites, common facts and small sums, answered in any words. 200 of each unless QUESTIONS says otherwise.
"""

import json
import pathlib
import random
import sys

PEOPLE = "Ada Bram Cleo Dario Elif Farid Greta Hugo Ines Jonas Kira Luis".split()
THINGS = "lemons tickets buttons ribbons pebbles candles postcards walnuts feathers tokens".split()

CAPITALS = """France:Paris Germany:Berlin Italy:Rome Spain:Madrid Portugal:Lisbon Austria:Vienna Ireland:Dublin Norway:Oslo
Sweden:Stockholm Finland:Helsinki Denmark:Copenhagen Hungary:Budapest Poland:Warsaw Greece:Athens Belgium:Brussels
Switzerland:Bern Russia:Moscow Ukraine:Kyiv|Kiev Turkey:Ankara Egypt:Cairo Kenya:Nairobi Morocco:Rabat Ethiopia:Addis Nigeria:Abuja
Japan:Tokyo China:Beijing India:Delhi Thailand:Bangkok Vietnam:Hanoi Indonesia:Jakarta Philippines:Manila Iran:Tehran Iraq:Baghdad
Israel:Jerusalem Canada:Ottawa Mexico:Mexico Cuba:Havana Brazil:Bras[ií]lia Argentina:Buenos Chile:Santiago Peru:Lima
Colombia:Bogot[aá] Venezuela:Caracas Ecuador:Quito Bolivia:Sucre|Paz Australia:Canberra Iceland:Reykjav[ií]k Romania:Bucharest
Bulgaria:Sofia Croatia:Zagreb Serbia:Belgrade Nepal:Kathmandu Pakistan:Islamabad Bangladesh:Dhaka""".split()

OPPOSITES = """hot:cold|cool big:small|little|tiny tall:short fast:slow happy:sad|unhappy dark:light|bright hard:soft|easy rich:poor
old:young|new wet:dry open:clos|shut full:empty up:down day:night early:late strong:weak black:white good:bad|evil war:peace
love:hat[er] long:short high:low loud:quiet|soft|silent clean:dirty|unclean true:false|untrue win:los[es] buy:sell push:pull
left:right inside:outside heavy:light near:far deep:shallow cheap:expensive|costly begin:end|finish|stop brave:cowardly|coward|afraid
sweet:sour|bitter|salty thick:thin wide:narrow safe:danger|unsafe""".split()

FACTS = [
    ("What color is the sky on a clear day?", "blue"),
    ("What color is grass?", "green"),
    ("What color is a ripe banana?", "yellow"),
    ("How many legs does a spider have?", r"\b8\b|eight"),
    ("How many legs does a dog have?", r"\b4\b|four"),
    ("How many days are in a week?", r"\b7\b|seven"),
    ("How many months are in a year?", r"\b12\b|twelve"),
    ("How many minutes are in an hour?", r"\b60\b|sixty"),
    ("How many hours are in a day?", r"\b24\b|twenty.four"),
    ("How many continents are there?", r"\b7\b|seven"),
    ("Which planet is the largest of the solar system?", "jupiter"),
    ("Which planet is closest to the Sun?", "mercury"),
    ("Which planet is known as the red planet?", "mars"),
    ("What planet do we live on?", "earth"),
    ("What is the name of our galaxy?", "milky"),
    ("What gas do humans need to breathe?", "oxygen"),
    ("What gas do plants take in from the air?", r"carbon dioxide|co2"),
    ("What is the chemical formula of water?", "h2o|h₂o"),
    ("What is the chemical symbol of gold?", r"\bau\b"),
    ("What is frozen water called?", r"\bice\b"),
    ("At how many degrees Celsius does water boil?", "100"),
    ("Who wrote Romeo and Juliet?", "shakespeare"),
    ("Who painted the Mona Lisa?", "vinci|leonardo"),
    ("Who was the first president of the United States?", "washington"),
    ("Who developed the theory of relativity?", "einstein"),
    ("Which ocean is the largest?", "pacific"),
    ("Which mountain is the tallest on Earth?", "everest"),
    ("Which river flows through Egypt?", "nile"),
    ("Which desert covers much of North Africa?", "sahara"),
    ("In which country are the pyramids of Giza?", "egypt"),
    ("In which country is the Eiffel Tower?", "france"),
    ("In which country is the Great Wall?", "china"),
    ("What language do people speak in Brazil?", "portuguese"),
    ("What language do people speak in Mexico?", "spanish"),
    ("What currency is used in Japan?", r"\byen\b"),
    ("What currency is used in the United States?", "dollar"),
    ("Which organ pumps blood through the body?", "heart"),
    ("Which organ do we think with?", "brain"),
    ("Which sense do we use our ears for?", "hear"),
    ("What do bees make?", "honey"),
    ("What do cows give us to drink?", "milk"),
    ("What is a baby cat called?", "kitten"),
    ("What is a baby dog called?", "pup"),
    ("Which animal is the king of the jungle?", "lion"),
    ("Which animal has a trunk?", "elephant"),
    ("Which animal has a very long neck?", "giraffe"),
    ("Which bird cannot fly and lives in Antarctica?", "penguin"),
    ("What is the first month of the year?", "january"),
    ("What is the last month of the year?", "december"),
    ("Which season comes after winter?", "spring"),
    ("Which day comes after Monday?", "tuesday"),
    ("Which shape has three sides?", "triangle"),
    ("What is the first letter of the alphabet?", r"\ba\b"),
    ("What do we call water that falls from clouds?", "rain|precipitation"),
    ("Which star is closest to Earth?", r"\bsun\b"),
    ("From which direction does the Sun rise?", "east"),
]


def draw_problem(rng):
    person, thing = rng.choice(PEOPLE), rng.choice(THINGS)
    kind = rng.randrange(3)
    if kind == 0:
        first, second = rng.randint(2, 20), rng.randint(2, 20)
        return f"{person} has {first} {thing} and finds {second} more. How many {thing} does {person} have now?", first + second
    if kind == 1:
        first, second = rng.randint(3, 21), rng.randint(2, 20)
        first, second = max(first, second + 1), min(first - 1, second)
        return f"{person} had {first} {thing} and lost {second} of them. How many {thing} are left?", first - second
    first, second = rng.randint(2, 9), rng.randint(2, 9)
    return f"{person} fills {first} bags with {second} {thing} each. How many {thing} are that?", first * second


def draw_problems(rng, count, seen):
    problems = []
    while len(problems) < count:
        question, answer = draw_problem(rng)
        if question not in seen:
            seen.add(question)
            problems.append((question, answer))
    return problems


def list_plain_questions(rng, count):
    pairs = [entry.split(":", 1) for entry in CAPITALS]
    questions = [(f"What is the capital of {country}?", capital, "regex") for country, capital in pairs]
    pairs = [entry.split(":", 1) for entry in OPPOSITES]
    questions += [(f'What is the opposite of "{word}"?', rf"\b(?:{answer})", "regex") for word, answer in pairs]
    questions += [(question, answer, "regex") for question, answer in FACTS]
    sums = [(first, second) for first in range(1, 13) for second in range(1, 13)]
    rng.shuffle(sums)
    questions += [(f"What is {first} + {second}?", str(first + second), "numeric") for first, second in sums]
    if count > len(questions):
        sys.exit(f"there are only {len(questions)} plain questions")
    questions = questions[:count]
    rng.shuffle(questions)
    return questions


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def main(out, count):
    rng = random.Random(0)
    seen = set()
    lessons = draw_problems(rng, 800, seen)
    messages = [
        {
            "prompt": [{"role": "user", "content": question}],
            "completion": [{"role": "assistant", "content": json.dumps({"answer": answer})}],
        }
        for question, answer in lessons
    ]
    write_lines(out / "train.jsonl", messages)
    write_lines(
        out / "items/id.jsonl",
        [
            {"question": question, "answer": str(answer), "metadata": {"grader": {"kind": "json", "field": "answer"}}}
            for question, answer in draw_problems(rng, count, seen)
        ],
    )
    write_lines(
        out / "items/ood.jsonl",
        [
            {"question": question, "answer": answer, "metadata": {"grader": grader}}
            for question, answer, grader in list_plain_questions(rng, count)
        ],
    )


main(pathlib.Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 200)
