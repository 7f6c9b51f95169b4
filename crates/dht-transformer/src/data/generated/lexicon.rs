//! Words of generated reviews, listed by their role in a sentence.
//!
//! Each list contains phrases of one or several lower-case words, separated by single spaces. No opinion word is in two
//! lists. The list of an opinion word thus determines whether the word expresses praise or complaint. Words for only
//! films or only meals have separate lists.

/// Verb in the two forms that the grammar uses: "enjoy" (after "did not") and "enjoyed".
pub(super) struct Verb {
    pub(super) base: &'static str,
    pub(super) past: &'static str,
}

const fn verb(base: &'static str, past: &'static str) -> Verb {
    Verb { base, past }
}

/// Nouns for aspects of a film (first list) and of a meal (second list), which determine the subject of a review.
pub(super) const ASPECTS: [&[&str]; 2] = [
    &[
        "film",
        "movie",
        "plot",
        "acting",
        "script",
        "story",
        "ending",
        "cast",
        "comedy",
        "director",
        "soundtrack",
        "dialogue",
    ],
    &["meal", "food", "soup", "steak", "dessert", "menu", "pasta", "bread", "sauce", "chef", "curry", "pizza"],
];

/// Adjectives of praise (first list) and of complaint (second list) for films and meals.
pub(super) const ADJECTIVES: [&[&str]; 2] = [
    &[
        "good",
        "great",
        "superb",
        "wonderful",
        "excellent",
        "brilliant",
        "lovely",
        "splendid",
        "perfect",
        "delightful",
        "impressive",
        "memorable",
    ],
    &[
        "bad",
        "poor",
        "dull",
        "awful",
        "terrible",
        "dreadful",
        "weak",
        "horrible",
        "mediocre",
        "disappointing",
        "dismal",
        "lousy",
    ],
];

/// Adjectives that describe only films or only meals, indexed by subject (0 film, 1 meal) and polarity (0 praise, 1
/// complaint).
pub(super) const SUBJECT_ADJECTIVES: [[&[&str]; 2]; 2] = [
    [&["gripping", "moving", "witty"], &["tedious", "predictable", "wooden"]],
    [&["delicious", "tasty", "tender"], &["bland", "stale", "burnt"]],
];

/// Verbs for a person's opinion, such as "we enjoyed the plot": praise (first list) and complaint (second list).
pub(super) const OPINION_VERBS: [&[Verb]; 2] = [
    &[verb("enjoy", "enjoyed"), verb("love", "loved"), verb("admire", "admired")],
    &[verb("hate", "hated"), verb("dislike", "disliked"), verb("regret", "regretted")],
];

/// Verbs for an effect on a person, such as "the plot delighted us": praise (first list) and complaint (second list).
pub(super) const EFFECT_VERBS: [&[Verb]; 2] = [
    &[verb("impress", "impressed"), verb("please", "pleased"), verb("delight", "delighted")],
    &[verb("bore", "bored"), verb("annoy", "annoyed"), verb("disappoint", "disappointed")],
];

/// Persons who hold an opinion, as subjects of a clause.
pub(super) const HOLDERS: &[&str] = &[
    "i",
    "we",
    "they",
    "everyone",
    "my wife",
    "my husband",
    "the critics",
    "our guests",
    "my friends",
    "the whole family",
    "my parents",
    "our group",
    "the audience",
    "the locals",
    "most visitors",
    "the reviewers",
];
pub(super) const EXPERIENCERS: &[&str] = &[
    "us",
    "me",
    "everyone",
    "my wife",
    "my husband",
    "the critics",
    "our guests",
    "my friends",
    "the whole family",
    "my parents",
    "our group",
    "the audience",
    "the locals",
    "most visitors",
    "the reviewers",
];

/// Persons in clauses without an opinion.
pub(super) const PEOPLE: &[&str] = &[
    "i",
    "we",
    "they",
    "my brother",
    "our neighbours",
    "a colleague",
    "my sister",
    "the driver",
    "two friends",
    "my aunt",
    "the students",
    "our cousin",
    "a tourist",
    "the old man",
    "my boss",
    "the children",
];

/// Actions in clauses without an opinion.
pub(super) const DEEDS: &[Verb] = &[
    verb("arrive early", "arrived early"),
    verb("take the bus", "took the bus"),
    verb("bring an umbrella", "brought an umbrella"),
    verb("pay by card", "paid by card"),
    verb("meet a neighbour", "met a neighbour"),
    verb("park nearby", "parked nearby"),
    verb("call ahead", "called ahead"),
    verb("wait outside", "waited outside"),
    verb("buy a newspaper", "bought a newspaper"),
    verb("read the notice", "read the notice"),
    verb("leave before midnight", "left before midnight"),
    verb("sit by the window", "sat by the window"),
    verb("stay until the end", "stayed until the end"),
    verb("know the town", "knew the town"),
    verb("plan the evening", "planned the evening"),
    verb("check the weather", "checked the weather"),
    verb("bring the dog", "brought the dog"),
    verb("ask for directions", "asked for directions"),
    verb("find the entrance", "found the entrance"),
    verb("wear a coat", "wore a coat"),
    verb("walk home", "walked home"),
    verb("carry a bag", "carried a bag"),
    verb("miss the train", "missed the train"),
    verb("keep the receipt", "kept the receipt"),
    verb("lock the bicycle", "locked the bicycle"),
    verb("borrow a map", "borrowed a map"),
    verb("send a postcard", "sent a postcard"),
    verb("drive slowly", "drove slowly"),
    verb("lose the keys", "lost the keys"),
    verb("speak french", "spoke french"),
    verb("count the change", "counted the change"),
    verb("pass the library", "passed the library"),
    verb("open the curtain", "opened the curtain"),
    verb("share a taxi", "shared a taxi"),
    verb("fix the bicycle", "fixed the bicycle"),
    verb("visit the museum", "visited the museum"),
    verb("paint the fence", "painted the fence"),
    verb("hear the bells", "heard the bells"),
    verb("need a ticket", "needed a ticket"),
    verb("follow the signs", "followed the signs"),
];

/// Places and things in clauses without an opinion.
pub(super) const SURROUNDINGS: &[&str] = &[
    "street",
    "queue",
    "square",
    "road",
    "hall",
    "entrance",
    "car park",
    "station",
    "lobby",
    "staircase",
    "corner",
    "traffic",
    "harbour",
    "market",
    "bridge",
    "evening",
    "pavement",
    "garage",
    "courtyard",
    "platform",
    "elevator",
    "balcony",
    "alley",
    "lawn",
    "fountain",
    "tunnel",
    "suburb",
    "terrace",
];
pub(super) const STATES: &[&str] = &[
    "busy", "quiet", "dark", "wet", "empty", "long", "crowded", "cold", "warm", "narrow", "noisy", "full", "bright",
    "windy", "foggy", "closed", "sunny", "icy", "muddy", "steep", "dusty", "familiar", "modern", "lit", "wide",
    "blocked",
];

/// Times and places that precede or follow a clause.
pub(super) const OCCASIONS: &[&str] = &[
    "yesterday",
    "last monday",
    "on tuesday",
    "on friday night",
    "last weekend",
    "in the evening",
    "after work",
    "on my birthday",
    "this summer",
    "in march",
    "two weeks ago",
    "on the last day",
    "during the holidays",
    "on a rainy sunday",
    "at noon",
    "late at night",
    "in the old town",
    "by the river",
    "near the station",
    "on the first floor",
    "across the road",
    "at the corner",
    "downtown",
    "on our anniversary",
    "before sunset",
    "in april",
    "on thursday",
    "last winter",
    "by candlelight",
    "behind the church",
    "next to the bakery",
    "opposite the bank",
    "under the arches",
    "in autumn",
    "every wednesday",
    "around eight",
    "at midday",
    "this morning",
    "beside the canal",
    "on saturday",
];

/// Beginnings of a time phrase, such as "after the". They precede a noun of the other subject (film or meal), which the
/// review does not judge.
pub(super) const ASIDES: &[&str] = &["after the", "before the", "during the", "right after the", "shortly before the"];

/// Phrases without an opinion that open a review. Some contain words of negation, such as "not" and "never".
pub(super) const OPENINGS: &[&str] = &[
    "without doubt",
    "no doubt",
    "not surprisingly",
    "no wonder",
    "never mind",
    "of course",
    "in short",
    "frankly",
    "as usual",
    "to my mind",
    "once again",
    "overall",
];

/// Adverbs of degree before an adjective, which do not change the verdict.
pub(super) const DEGREES: &[&str] =
    &["very", "really", "quite", "truly", "so", "rather", "utterly", "particularly", "simply", "genuinely"];

/// Negations before an adjective. "not" is repeated so that it is drawn most often.
pub(super) const ADJECTIVE_NEGATIONS: &[&str] =
    &["not", "not", "not", "not", "not", "not", "not", "never", "never", "hardly", "far from", "by no means"];

/// Negations before the base form of a verb, such as "enjoy".
pub(super) const BASE_NEGATIONS: &[&str] = &["did not", "did not", "did not", "could not"];
/// Negations before the past form of a verb, such as "enjoyed".
pub(super) const PAST_NEGATIONS: &[&str] = &["never", "hardly"];

/// Connectives that begin a subordinate clause.
pub(super) const CONCESSIONS: &[&str] = &["although", "though", "even though"];
/// Connectives that emphasise the clause after them.
pub(super) const TURNS: &[&str] = &[", but", ", but", "but", ", yet"];
/// Connectives that emphasise neither clause.
pub(super) const JOINTS: &[&str] = &["and", ", and", ".", ";"];

/// Words that the grammar writes directly, without drawing them from a list.
pub(super) const GLUE: &[&str] =
    &["the", "was", "were", "and", "found", "find", "would", "call", "not only", "but also", ".", ",", "!"];

/// All phrases that can occur in generated reviews.
pub(super) fn phrases() -> Vec<&'static str> {
    let lists = [
        HOLDERS,
        EXPERIENCERS,
        PEOPLE,
        SURROUNDINGS,
        STATES,
        OCCASIONS,
        ASIDES,
        OPENINGS,
        DEGREES,
        ADJECTIVE_NEGATIONS,
        BASE_NEGATIONS,
        PAST_NEGATIONS,
        CONCESSIONS,
        TURNS,
        JOINTS,
        GLUE,
    ];
    let verbs = [OPINION_VERBS[0], OPINION_VERBS[1], EFFECT_VERBS[0], EFFECT_VERBS[1], DEEDS];
    lists
        .into_iter()
        .chain(ASPECTS)
        .chain(ADJECTIVES)
        .chain(SUBJECT_ADJECTIVES.into_iter().flatten())
        .flatten()
        .copied()
        .chain(verbs.into_iter().flatten().flat_map(|verb| [verb.base, verb.past]))
        .collect()
}
