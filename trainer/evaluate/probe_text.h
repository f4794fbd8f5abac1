#pragma once
// General text of our own, English and French: what a base knew of language before it was tuned. The change
// of its loss is the forgetting that a report tells; evaluate.probe names another text.

namespace lathe {

constexpr const char* kProbeText =
    "The train from the coast arrives a little after seven. Most mornings the platform is still wet, and the "
    "baker on the "
    "corner has only just opened the shutters. People walk quickly past the old post office, some with an "
    "umbrella, some "
    "reading a message, and nobody looks at the clock above the door, because it has been wrong for years. A "
    "school stands "
    "behind the square; at nine the children are inside and the street is quiet again.\n\n"
    "Water boils at a lower temperature on a mountain than at the sea, since the air presses less. That is "
    "why beans need "
    "more time in a village two thousand metres high. A cook who moves there learns it within a week, "
    "usually by serving "
    "dinner late.\n\n"
    "To repair a bicycle tyre, take the wheel off, lift one side of the tyre over the rim and pull out the "
    "tube. Pump it up, "
    "listen for the hole, dry the place and press a patch on it. Before the tube goes back, run a finger "
    "along the inside of "
    "the tyre: what made the first hole may still be there.\n\n"
    "Le march\xc3\xa9 commence t\xc3\xb4t. Les premiers clients ach\xc3\xa8tent du pain, des pommes et "
    "parfois des fleurs; "
    "les autres attendent que le soleil passe au-dessus des toits. Une voisine raconte que l'hiver sera "
    "long, son mari "
    "r\xc3\xa9pond qu'elle le disait d\xc3\xa9j\xc3\xa0 l'an dernier.\n\n"
    "Pour faire une bonne soupe, il faut des l\xc3\xa9gumes frais, un peu de sel et surtout de la patience. "
    "On coupe, on "
    "laisse mijoter, on go\xc3\xbbte. Si le go\xc3\xbbt manque de relief, quelques herbes suffisent.\n";

}  // namespace lathe
