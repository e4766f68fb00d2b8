// Logarithm, sine and cosine in exactly rounded double operations only, so that every machine and
// compiler gives the same bits; the C library's differ.
#pragma once

namespace zoetrope {

// ln(x) for x in (0, 1].
double portable_log(double x);

// sin and cos of 2π·turn, turn in [0, 1).
void portable_sincos_turn(double turn, double* sine, double* cosine);

}  // namespace zoetrope
