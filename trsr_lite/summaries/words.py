"""Fixed lists of English words, and a few of other languages, that decide where a phrase of a title may begin and end.

Invariant: lists only ever cut phrases shorter or leave them out: no word of a summary comes from here.
"""

from __future__ import annotations

_FUNCTION = """
a an the and this that these those some any each every all both either neither such same other another adjustable
retractable portable stackable writable printable replacement refill regular standard original classic premium ultra
mini deluxe more most much many few several less least enough i me my mine we us our ours you your yours he him his
she her hers it its they them their theirs who whom whose which what when where why how if then than as so too very
just only even still yet again also ever always often once here there now today tonight yesterday tomorrow about above
across after against ahead along amid among around at away back before behind below beneath beside between beyond by
despite down during except for from in inside into like near off on onto out outside over past per since through
throughout to toward towards under until till up upon via with within or but nor because while whether though although
unless vs versus etc ago else instead rather really maybe perhaps almost already soon later never not no none nothing
without cannot one's ones der das und ein eine einer eines einem einen mit von für aus bei nach zum zur auf im am ist
sind wie über le la les un une des du de et ou avec pour dans sur par au aux est sont el los las una unos unas y con
para por en del al es son il lo gli uno della di e da nel het een van voor met op
"""
_VERBS = """
acknowledges acknowledge express expresses terrorize terrorizes willing dead override overrides ditching honors
is are was were be been being am has have had having do does did done doing will would can could shall should may
might must says said saying gets get got getting makes make made making takes take took taken taking goes go went gone
going comes come came coming gives give gave given giving knows know knew known thinks think thought finds find found
finding tells tell told asks ask asked becomes become became keeps keep kept lets let begins began begun seems seem
seemed needs need wants want wanted puts put brings bring brought loses lose lost sends send sent sees see saw seen
say shows showed shown reveals revealed confirms confirmed announces announced admits admitted denies denied warns
warned urges urged slams slammed vows vowed accuses accused arrested dies died killed fired named becoming happens
happened explains explained learn learned learns remember remembered meet meets met tried tries try turns turned stays
stayed looks looked wears wore worn grows grew grown rises rose risen falls fell fallen sets hits won wins beats beat
leads led leaves left holds held ends ended opens opened closes closed starts started stops stopped returns returned
arrives arrived joins joined calls called claims claimed believes believed hopes hoped expects expected plans planned
pays paid buys bought sells sold uses used using adds added cuts moves moved runs ran rewarded includes including
featuring allows allow helps help helped knock knocks knocked dream dreams rescue doesn't don't didn't isn't aren't
wasn't won't can't couldn't shouldn't wouldn't hasn't haven't i'm i've i'd i'll it's that's he's she's we're we've
they're you're you've you'll let's there's here's what's who's how's where's reveal create creates created deliver
delivers delivered explore explores explored predict predicts predicted marry marries married flee flees fled kill
kills survive survives survived unearth unearths visits announce deserve deserves carries carried choose chooses chose
chosen consider considers continues continued convinces covers decides describes destroys discovers discuss discusses
earns eats enjoys enters escapes faces fails feels felt fights fixes follows forces forgets gains hates hears heard
heralds hires hurts ignores improves inspires intends introduces invites jokes launches loves lies lived lives manages
matters means meant misses mourns nears offers owes owns passes picks pleads praises prefers prepares prevents
promises proves pulls pushes questions quits raises reaches reacts reads receives refuses rejects releases remembers
removes replaces requires resigns responds retires rides rips rocks saves seeks serves settles shoots shuts sings sits
skips sleeps slips solves speaks spends spoke spoken spreads stands steals stole stolen struck struggles sues suffers
suggests supports surges surprises swears talks targets teaches taught tears threatens throws thrown tops touches
trades trumps understands understood unveils unveil votes waits wakes walks warms watches weigh weighs wipes wonders
works worries writes wrote written vary varies varied built caught drawn driven drove fought hung laid lent lit rang
sang sat shook shot shut slept sought spent stood stuck sued swept swore torn woke amid breaks broke broken booted
hospitalized
"""
_NEGATIONS = """
no not never none nothing without cannot neither nor non isn't aren't wasn't weren't won't can't couldn't shouldn't
wouldn't don't doesn't didn't hasn't haven't instead rather than minus except unlike kein keine ohne sans sin senza
"""
_WEAK = """
new newest best better good great big biggest little small large old older young first second third last latest next
final top full free easy quick simple real true right wrong own whole various different special official major key
main more most day days week weeks month months year years hour hours minute minutes time times moment moments age
ages date way ways thing things stuff lot lots bit part parts piece pieces kind kinds type types sort set sets pack
packs pcs pc ct count pair pairs box boxes case inch inches cm mm ft oz lb lbs kg size sizes color colors colour
colours black white red blue green grey gray brown pink yellow orange purple silver assorted multi people person man
men woman women guy guys someone everyone anyone somebody everybody nobody world life place places side end start
bottom number numbers list reason reasons question questions answer answers idea ideas tip tips guide story stories
news video videos photo photos picture pictures watch report reports update updates review reviews article post
edition version series model style item items product products use user users percent dollar dollars million billion
thousand hundred two three four five six seven eight nine ten dozen today morning night
"""
_UNITS = """
million billion trillion thousand hundred percent dollar dollars times
"""
_AFTER_VERBS = """
a an the its his her their your our my these those some every it him them us me you up out off down away
"""
_ADJECTIVES_IN_LY = """
family july italy daily weekly monthly yearly hourly early supply assembly reply belly jelly fly ally rally bully holy
ugly butterfly lily emily sally molly polly billy willy kelly reilly elderly friendly monopoly anomaly philly curly
silly jolly fully-fledged lovely deadly costly
"""
_TOPIC_ATTRIBUTES = """
category subcategory categories genre genres topic topics tag tags section sections subject subjects keyword keywords
department type kind brand author authors artist artists series venue channel publisher label
"""
_MAKERS = """
brand author authors artist artists publisher label venue series
"""

NEGATIONS = frozenset(_NEGATIONS.split())
BREAKS = frozenset(_FUNCTION.split()) | frozenset(_VERBS.split()) | NEGATIONS
"""No phrase has one of these, but for those that are `INNER`."""
INNER = frozenset(["of"])
"""A phrase may have one between two of its words."""
WEAK = frozenset(_WEAK.split())
"""They say too little to be an interest alone."""
UNITS = frozenset(_UNITS.split())
"""They go with the number before them."""
AFTER_VERBS = frozenset(_AFTER_VERBS.split())
"""What stands right before one of these is hardly ever a noun."""
ADJECTIVES_IN_LY = frozenset(_ADJECTIVES_IN_LY.split())
"""They end as adverbs do, and may be part of a phrase."""
TOPIC_ATTRIBUTES = frozenset(_TOPIC_ATTRIBUTES.split())
"""Attributes whose values name what items have in common."""
MAKERS = frozenset(_MAKERS.split())
"""Attributes whose values are names."""
