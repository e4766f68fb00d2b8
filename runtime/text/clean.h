// Prompts cleaned as libraries clean them before they tokenize: ftfy's repairs, HTML entities, runs
// of white space.
#pragma once

#include <string>
#include <string_view>

namespace zoetrope {

// Of valid UTF-8, in this order:
//   - line by line until nothing changes: entities that end in a semicolon (not from the first line
//     on that has a '<'); control characters of Windows-1252, Latin ligatures, full and half width,
//     curled quotes, line ends; terminal escapes and control characters are taken out
//   - entities as a browser reads them, twice
//   - runs of white space become one space, none at the ends
// This is ftfy.fix_text, html.unescape twice and \s+ → ' ' of the reference pipelines, but for
// three things that ftfy does and this does not: text decoded in the wrong encoding is not guessed
// at, letters and accents are not composed (NFC: the models' own normalisation does that), entity
// names in capitals that HTML does not know are left.
std::string clean_prompt(std::string_view text);

// Valid UTF-8 without the white space at its ends (what Python's str.strip takes).
std::string_view strip_spaces(std::string_view text);

// What stands in quotation marks, straight or curved, with a space between; empty: nothing does. An
// open mark that is not closed is none.
std::string quoted_parts(std::string_view text);

}  // namespace zoetrope
