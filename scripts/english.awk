# Rules of scripts/check-english. Reads Rust sources and Markdown pages; prints one breach a line: rule, file, text, line,
# separated by tabs. Runs under mawk, gawk and the awk of macOS: no intervals in expressions, no functions of gawk.
#
# Prose is read in paragraphs: the lines of a comment or page are joined, and a list item or a heading is a paragraph.
# Code blocks and parts of a page that a program writes (between `<!-- NAME … -->` and `<!-- /NAME -->` or
# `<!-- end of NAME -->`) are not read. Of table rows and string literals only the words are read.
#
# opener    the first word of a doc comment is a question word or refers back: "What", "Says", "These", "Given", …;
#           in a page, the first word of a paragraph or list item is "These", "Given" or "Found"
# article   a doc comment is a noun phrase ("Number of rows.") and begins with an article; a sentence with an auxiliary verb
#           ("The file is missing.") may begin with one
# training  "a training" or "trainings" for a training run; "a training row" is an adjective and its noun
# of        the first sentence of a doc comment has "of" three times before its first verb. A verb is an auxiliary, a word
#           in -s before a determiner ("holds the"), or the first word in -s unless "of" or "and" follows ("Returns");
#           a relative pronoun or a colon ends the search as well, since a clause with a verb follows
# long      a sentence of a doc comment has over 35 words; code in backticks is one word
# name      the name of a test has over 60 letters
# line      a line of a page has over 120 characters outside tables and code blocks
# part      a generated part of a page has no end

BEGIN {
    fill(question, "What How Where Whether Says Tells These Given Found")
    fill(back, "These Given Found")
    fill(noun, "accuracy and batch batches checkpoint command corpus curve data dataset directory epoch error example examples file" \
        " fold forward job loop loss objective or page pass program record row rows run runs sample samples script seconds" \
        " seed set sets split step steps table task text texts time")
    fill(auxiliary, "is are was were be has have had does do did can cannot may must will would should")
    fill(determiner, "a an the its their this each every all no one two any both another which what how whether it them only")
    fill(clause, "that which who whose where when if while because since as than unless until")
    fill(short, "e.g. i.e. al. eq. eqs. fig. sec. cf. vs. no. pp. ch. approx.")
}

function fill(set, members,    list, n) {
    n = split(members, list, " ")
    while (n > 0) set[list[n--]] = 1
}

function emit(rule, text, at) {
    gsub(/\001/, " ", text)
    gsub(/\t/, " ", text)
    print rule "\t" file "\t" text "\t" at
}

# Words `from` to `to` of the paragraph, cut after twelve.
function words(from, to,    text, i) {
    for (i = from; i <= to && i < from + 12; i++) text = text (i > from ? " " : "") word[i]
    return text (i <= to ? " …" : "")
}

# A word in lower case without the punctuation around it.
function bare(text) {
    gsub(/^[^A-Za-z0-9`]+|[^A-Za-z0-9`]+$/, "", text)
    return tolower(text)
}

# Splits the paragraph into words; spaces in backticks do not split.
function split_words(text,    parts, n, i, joined) {
    if (index(text, "`")) {
        n = split(text, parts, "`")
        for (i = 1; i <= n; i++) {
            if (i % 2 == 0) gsub(/ /, "\001", parts[i])
            joined = joined (i > 1 ? "`" : "") parts[i]
        }
        text = joined
    }
    return split(text, word, " ")
}

function check_training(n,    i, plain) {
    for (i = 1; i <= n; i++) {
        if (word[i] !~ /^[^A-Za-z0-9`]*[Tt]rainings?([^a-z0-9_-]|$)/) continue
        plain = bare(word[i])
        if (plain ~ /^trainings/ || (i > 1 && bare(word[i - 1]) == "a" && !(word[i] ~ /g$/ && bare(word[i + 1]) in noun)))
            emit("training", words(i > 3 ? i - 3 : 1, i + 3 < n ? i + 3 : n), started)
    }
}

# A noun phrase: no auxiliary verb, no clause, and no word in -s or -ed that another word than "of" or "and" follows.
function check_article(n,    i, plain, following) {
    if (word[1] !~ /^(A|An|The)$/ || word[2] == "and") return
    for (i = 2; i <= n; i++) {
        plain = bare(word[i])
        following = i < n ? bare(word[i + 1]) : ""
        if (plain in auxiliary || plain in clause) return
        if (i > 2 && plain ~ /[a-z](s|ed)$/ && !(plain in determiner) && following != "" && following != "of" && following != "and" && word[i] !~ /[,:;.]$/) return
    }
    emit("article", words(1, n), started)
}

function check_of(n,    i, count, plain, following) {
    for (i = 1; i <= n; i++) {
        plain = bare(word[i])
        following = i < n ? bare(word[i + 1]) : ""
        if (plain == "of" && ++count == 3) { emit("of", words(1, n), started); return }
        if (plain in auxiliary || plain in clause || word[i] ~ /[:;]$/) return
        if (plain ~ /[a-z]s$/ && (following in determiner || (i == 1 && following != "of" && following != "and"))) return
    }
}

# Checks a paragraph of a doc comment (doc), another comment (comment) or a page (page).
function judge(    n, i, from, first, count) {
    if (paragraph == "") return
    first = opening
    opening = 0
    if (kind != "doc" && !(first && kind == "page") && paragraph !~ /[Tt]raining/) { paragraph = ""; return }
    n = split_words(paragraph)
    paragraph = ""
    if (n == 0) return
    if (first && kind == "doc" && (word[1] in question || word[1] word[2] ~ /^(Thatof|Thatwhich|Thoseof|Thosethat|Thesame)$/))
        emit("opener", words(1, n), started)
    if (first && kind == "page" && word[1] in back) emit("opener", words(1, n), started)
    check_training(n)
    if (kind != "doc") return
    from = 1
    for (i = 1; i <= n; i++) {
        if (word[i] ~ /[A-Za-z0-9]/) count++
        if (i < n && (word[i] !~ /[.!?][)"*]*$/ || tolower(word[i]) in short)) continue
        if (count > 35) emit("long", words(from, i), started)
        if (first) { check_of(i); check_article(i) }
        first = 0
        from = i + 1
        count = 0
    }
}

# Takes a line of a comment or page without its marker.
function prose(line) {
    if (line ~ /^[[:space:]]*(```|~~~)/) { judge(); code = !code; return }
    if (code) return
    sub(/^[[:space:]]+/, "", line)
    sub(/^>[[:space:]]*/, "", line)
    if (line == "") { judge(); if (kind == "page") opening = 1; return }
    if (line ~ /^\|/) { judge(); loose(line); return }
    if (line ~ /^([-*]|[0-9]+\.)[[:space:]]/) {
        judge()
        if (kind == "page") opening = 1
        sub(/^[^[:space:]]+[[:space:]]+/, "", line)
    }
    if (paragraph == "") { started = FNR; paragraph = line } else paragraph = paragraph " " line
    if (line ~ /^#+ /) { opening = 0; judge(); if (kind == "page") opening = 1 }
}

# Text that is not a sentence: a table row, a string.
function loose(text) {
    if (text !~ /[Tt]raining/) return
    gsub(/[|"]/, " ", text)
    started = FNR
    check_training(split_words(text))
}

function end_of_file() {
    judge()
    if (part) emit("part", "generated part without an end", part)
    part = code = opening = 0
    kind = ""
}

FNR == 1 { end_of_file(); file = FILENAME; page = file ~ /\.md$/; if (page) { kind = "page"; opening = 1 } }

page {
    if (!code && $0 ~ /^[[:space:]]*<!-- (\/|end of )/) { judge(); part = 0; opening = 1; next }
    if (!code && $0 ~ /^[[:space:]]*<!-- .* -->[[:space:]]*$/) {
        judge()
        if (part) emit("part", "generated part without an end", part)
        part = FNR
        next
    }
    if (part) { if ($0 ~ /^[[:space:]]*(```|~~~)/) code = !code; next }
    if (!code && $0 !~ /^[[:space:]]*(\||```|~~~)/ && length($0) > 120) {
        line = $0
        # Bytes that continue a character.
        gsub(/[\200-\277]/, "", line)
        if (length(line) > 120) emit("line", substr($0, 1, 60), FNR)
    }
    prose($0)
    next
}

/^[[:space:]]*\/\// {
    marker = $0 ~ /^[[:space:]]*\/\/\/([^\/]|$)/ ? "///" : $0 ~ /^[[:space:]]*\/\/!/ ? "//!" : "//"
    if (kind == "" || marker != before) {
        judge()
        # A comment that another follows is not opened again: the rule reads the first line of all.
        opening = kind == "" || marker != before
        code = 0
    }
    kind = marker == "//" ? "comment" : "doc"
    before = marker
    line = $0
    sub(/^[[:space:]]*\/\/[\/!]*/, "", line)
    prose(line)
    next
}

{
    if (kind != "") { judge(); kind = ""; code = 0 }
    if (index($0, "raining") && match($0, /"[^"]*[Tt]raining|\/\/ /)) loose(substr($0, RSTART))
    if (match($0, /^[[:space:]]*(async )?fn [a-z_0-9]+\(/)) {
        line = substr($0, RSTART, RLENGTH - 1)
        sub(/^.*fn /, "", line)
        if (length(line) > 60) emit("name", line, FNR)
    }
}

END { end_of_file() }
