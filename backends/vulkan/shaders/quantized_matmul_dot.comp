#version 450
// quantized_matmul by products of four i8 at once (SPV_KHR_integer_dot_product): OpSDot with the
// packed format 4x8.
#extension GL_EXT_spirv_intrinsics : require
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6018, 6019],
                  id = 4450)
int packed_dot(int a, int b, spirv_literal int format);
#define DOT(A, B, C) ((C) + packed_dot(A, B, 0))
#include "quantized_tiled.glsl"
