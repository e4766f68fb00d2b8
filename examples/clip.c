/* Makes a short clip and writes its frames as one raw video:
 *   cc clip.c $(pkg-config --cflags --libs zoetrope) -o clip && ./clip MODEL.zoe "a red ball" clip.rgb */
#include <stdio.h>

#include "zoetrope.h"

static int on_frames(void *user, const uint8_t *pixels, int64_t count, int64_t width,
                     int64_t height) {
  const size_t bytes = (size_t)(count * width * height * 3);
  return fwrite(pixels, 1, bytes, (FILE *)user) == bytes ? 0 : 1; /* anything but 0 cancels */
}

static int on_progress(void *user, const zoetrope_progress *p) {
  (void)user;
  fprintf(stderr, "\r%s %.0f of %.0f, %.0f s left    ", p->task, p->done, p->total, p->seconds_left);
  return 0;
}

int main(int argc, char **argv) {
  if (argc != 4) return fprintf(stderr, "usage: %s MODEL.zoe PROMPT OUT.rgb\n", argv[0]), 2;
  zoetrope_engine *engine = NULL;
  char request[512], *stats = NULL;
  zoetrope_callbacks calls = {
      .size = sizeof(calls), .progress = on_progress, .frames = on_frames};
  /* A prompt with quotes or backslashes wants a JSON library. */
  snprintf(request, sizeof(request),
           "{\"prompt\": \"%.200s\", \"width\": 64, \"height\": 64, \"frames\": 8, \"steps\": 2}",
           argv[2]);
  FILE *out = fopen(argv[3], "wb");
  if (out == NULL) return perror(argv[3]), 3;
  calls.user = out;
  int code = zoetrope_open(argv[1], "{\"device\": \"cpu\"}", &engine);
  if (code == ZOETROPE_OK) code = zoetrope_run(engine, request, NULL, &calls, &stats);
  if (code == ZOETROPE_OK)
    printf("%s\n", stats);
  else
    fprintf(stderr, "\n%s\n", zoetrope_message());
  zoetrope_free(stats);
  zoetrope_close(engine);
  return fclose(out) == 0 ? code : 3;
}
