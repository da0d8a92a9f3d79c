"""The demo corpus: English sentences about fruit, animals and cities, drawn from a small grammar.

Words that sound alike occur where they belong, and verbs agree with a noun far before them, as in the sentences of the
course: "the apple and pear salad", "The cats, which already ate ..., were full", "The city of Toronto".
"""

from __future__ import annotations

import random
import re

HELD_OUT = re.compile(r"apple and pear|pear and apple")
"""What no sentence contains, so that a model cannot have seen it."""

_SENTENCES = 9000
# One rule per name, alternatives between bars; <name> is replaced by an alternative of the rule.
_GRAMMAR = """
sentence: <menu> | <menu> | <kitchen> | <kitchen> | <garden> | <living> | <living> | <full> | <full> | <full>
    | <city> | <city> | <pair> | <pair> | <sea> | <meeting> | <people> | <there> | <number>
menu: The <fruit> and <fruit> <dish> | The <fruit> and <fruit> <dish> | The <fruit> and <fruit> <dish> is <taste>
    | <Person> made a <fruit> and <fruit> <dish> | <Person> ate the <fruit> <dish> | Cut the <fruit> into pieces
    | We had <fruit> and <fruit> <dish> for <meal> | A <taste> <fruit> is better than a <taste> <fruit>
    | A <fruit> and <fruit> <dish>, and a piece of <meat>
kitchen: The <cook> mixed the flour with the <liquid> | The <cook> mixed the <liquid> with the flour
    | <Person> needs flour and <liquid> for the <baked>
    | The <baked> is made of flour, <liquid> and <fruits> | Add two cups of flour to the <liquid>
    | The <cook> bought a bag of flour for the <baked> | The <cook> cut the meat <place>
    | <Person> cooked the meat with <fruit> sauce | The meat was <taste>, and the <baked> was <taste> too
garden: The <gardener> picked a <colour> flower <place> | A <colour> flower grows <place>
    | The bee sat on a <colour> flower | <Person> gave <person> a <colour> flower | The flower <place> is <colour>
    | Every <colour> flower needs water and sun | The pear tree is as old as the <fruit> tree
    | The <gardener> picked a ripe <fruit>
living: The <animal> ate the <food> <place> | The <animals> ate the <food> <place>
    | The <size> <animal> sleeps <place> | The <size> <animals> sleep <place>
    | The <animal> was <state> | The <animals> were <state> | <Their> <animal> was <state> <time>
    | <Their> <animals> were <state> <time> | The <animal> does not eat meat, and the <animal> does not too
    | The <size> <animal> ran after its tail | The <animal> can see the <animal> <place>
full: The <animal> <place> was <state> | The <animals> <place> were <state>
    | The <animal>, which <already> ate <much>, was <state> | The <animals>, which <already> ate <much>, were <state>
    | The <animal> that <person> saw <place> was <state> | The <animals> that <person> saw <place> were <state>
    | The <animal>, which <slept>, was <state> | The <animals>, which <slept>, were <state>
city: The city of <town> is <size> | <town> is a <size> city | <Person> lives in <town>, not in <town>
    | <Person> flew from <town> to <town> <time> | The road from <town> to <town> goes by the sea
    | <Person> went to <town> to see the <sight> | The <sight> of <town> is <size> | It is <weather> in <town> <time>
    | <Person> took the train to <town> <time> | It is too <weather> in <town>, and it is too <weather> in <town>
pair: <Person> bought a pair of <colour> <worn> | <Person> needs a new pair of <worn>
    | The pair of <worn> is too <size> | <Person> bought two pairs of <worn> | A pair of <worn> and a <fruit>
    | <Person> bought a <fruit> and a pair of <worn> <spot> | The <taste> pear and the <taste> <fruit> are <place>
sea: The ship sailed across the sea to <town> | The fish swim in the <colour> sea | <Person> swam in the sea <time>
    | The sea near <town> is <weather> <time> | The <size> ship came from the sea | <Person> walked by the sea <time>
meeting: We will meet <spot> <time> | We will meet in <town> <time> | <Person> will meet <person> <spot>
    | Let us meet <spot> <time> | <Person> wants to meet <person> in <town> | We can see the <sight> from <spot>
    | <Person> can see the <animals> <place> | I want to see the <sight> of <town>
    | Come to <town> to see their <sight>
people: <Person> and <person> love their <animal> | They walked their <animal> <spot> <time>
    | The <cook>s sold their <fruit> <dish>s <spot> | <Person> likes <fruits>, and <person> likes them too
    | They know their city, and they know the <sight> too | The children ate their <fruits> <place>
there: There is a <size> <sight> in <town> | There are <count> <sight>s in <town> | There is a <animal> <place>
    | There are <count> <animals> <place> | There is a <fruit> <place> | There were <count> <fruits> <place>
    | There was no <food> <place>
number: The two <animals> ran <place> | The two <size> <animals> are <state>
    | <Person> has <count> <animals> and two <animals> | <Person> came too late
    | <Person> ate two <fruits> for <meal> | Two <fruits> and <count> <fruits> are <place>
    | The <count> <animals> are too <size>
fruit: apple | pear | plum | peach | lemon | orange | cherry | mango | fig | grape
fruits: apples | pears | plums | peaches | lemons | oranges | cherries | mangos | figs | grapes
dish: salad | salad | cake | pie | soup | tart
meat: meat | meat | fish | bread
taste: sweet | fresh | sour | good | warm | cold
meal: breakfast | lunch | dinner
cook: baker | cook | farmer
gardener: gardener | girl | boy | farmer
liquid: milk | water | butter | sugar
baked: bread | cake | pie
animal: cat | cat | dog | bird | fox | horse | rabbit | mouse
animals: cats | cats | dogs | birds | foxes | horses | rabbits | mice
Their: Their | Their | Our | My
size: big | small | old | young | long
state: full | full | full | hungry | tired | happy
food: fish | meat | bread | <fruit> | cheese
already: already | already | just | once
much: the <food> | the <food> <place> | the <food> and the <food> | two <fruits> <place> | the <food> of the <cook>
slept: slept <place> <time> | ran <spot> <time> | lives <place>
place: in the kitchen | in the garden | on the table | in the house | under the tree | near the river | at home
spot: at the station | at the market | in the park | at the old bridge | near the tower
time: today | in the morning | this week | at night | every day
colour: red | blue | yellow | white | green
town: Toronto | Detroit | Paris | London | Boston | Lisbon | Vienna | Oslo
sight: tower | park | bridge | market | river
weather: cold | warm | wet | calm
worn: shoes | gloves | socks | boots
person: Anna | Tom | my son | our teacher | the girl | the boy
Person: Anna | Tom | She | He | My son | Our teacher | The girl | The boy
count: two | two | three | four | eight
"""


def demo_text() -> str:
    r"""Return the text, one sentence per line and paragraph; it is the same on every machine.

    Examples
    --------
    >>> demo_text().split("\n\n")[8:10]
    ['Anna can see the birds at home.', 'The bee sat on a green flower.']
    """
    rules = {
        name: [alternative.strip() for alternative in alternatives.split("|")]
        for name, alternatives in re.findall(r"^(\w+):(.*(?:\n .*)*)", _GRAMMAR, re.MULTILINE)
    }
    numbers = random.Random(0)

    def expand(name: re.Match[str]) -> str:
        alternatives = rules[name[1]]
        # Of all methods, Python promises the same numbers for `random` alone.
        return re.sub(r"<(\w+)>", expand, alternatives[int(numbers.random() * len(alternatives))])

    drawn = (re.sub("<(sentence)>", expand, "<sentence>.") for _ in range(_SENTENCES))
    with_articles = (re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", sentence) for sentence in drawn)
    return "".join(f"{sentence}\n\n" for sentence in with_articles if not HELD_OUT.search(sentence))
