# cmake -DOUTPUT=x.inc -DINPUT=x.spv -DNAME=x -P embed.cmake: SPIR-V as an array of words.
file(READ ${INPUT} hex HEX)
string(REGEX REPLACE "(..)(..)(..)(..)" "0x\\4\\3\\2\\1," words "${hex}")
file(WRITE ${OUTPUT} "constexpr uint32_t ${NAME}[] = {${words}};\n")
