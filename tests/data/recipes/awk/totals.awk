# Sum the second column by the first one, in the order in which names appear.
BEGIN { FS = OFS = "\t" }
!($1 in sums) { names[++count] = $1 }
{ sums[$1] += $2 }
END { for (at = 1; at <= count; at++) print names[at], sums[names[at]] }
