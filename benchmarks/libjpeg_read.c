/* Times libjpeg's jpeg_read_coefficients with a copy out: what readers.py compares with.
 *
 *     cc -O3 -o libjpeg_read libjpeg_read.c -ljpeg
 *     libjpeg_read IMAGES REPEATS [trim]   REPEATS passes of each variant, as one JSON object
 *     libjpeg_read IMAGES - [trim]         one JSON object for each line of stdin, so that the
 *                                          caller can interleave its passes with other readers'
 *
 * IMAGES: uint32 count, uint32 length [count], then the JPEG files one behind the other; numbers in
 * the machine's byte order. All are loaded before anything is timed.
 *
 * A line of stdin (and a pass of the other form) is one of
 *     fresh     a pass: every image into a buffer of its own, freed after the image, as a reader
 *               that hands out arrays does
 *     reused    a pass: every image into the same buffer
 *     checksum  nothing timed: the CRC-32 of the coefficients of every image
 *
 * The copy of an image is the int16 coefficients of the components one behind the other: rows of
 * blocks, 64 coefficients each, in natural order, without the blocks that only pad an MCU. The
 * decompression object is made once. wall is CLOCK_MONOTONIC, cpu CLOCK_THREAD_CPUTIME_ID, in s.
 *
 * libjpeg frees its own copy of the coefficients with every image. glibc then hands the memory back
 * to the kernel and faults it in again for the next image, which takes up to half of the time; so
 * it is told to keep it, the best that libjpeg can do. trim: leave glibc as it is.
 */
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jpeglib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#define STRING_OF(text) #text
#define STRING(macro) STRING_OF(macro)
#ifdef LIBJPEG_TURBO_VERSION
#define LIBRARY "libjpeg-turbo " STRING(LIBJPEG_TURBO_VERSION)
#else
#define LIBRARY "libjpeg " STRING(JPEG_LIB_VERSION)
#endif

typedef struct {
  uint32_t count;
  uint32_t *lengths;
  unsigned char **data;
} Images;

typedef struct {
  struct jpeg_error_mgr base;
  jmp_buf caller;
  char message[JMSG_LENGTH_MAX];
} ErrorHandler;

typedef struct {
  JCOEF *coefficients;
  size_t capacity; /* coefficients that fit */
  size_t used;
} Buffer;

static void fail(const char *what, const char *name)
{
  fprintf(stderr, "libjpeg_read: %s: %s\n", what, name);
  exit(1);
}

static void *allocate(size_t size)
{
  void *memory = malloc(size ? size : 1);
  if (!memory)
    fail("out of memory", "expected less or smaller images");
  return memory;
}

static void on_error(j_common_ptr cinfo)
{
  ErrorHandler *handler = (ErrorHandler *)cinfo->err;
  handler->base.format_message(cinfo, handler->message);
  longjmp(handler->caller, 1);
}

static void count_warning(j_common_ptr cinfo, int level)
{
  if (level < 0)
    cinfo->err->num_warnings++;
}

static Images load_images(const char *path)
{
  Images images;
  FILE *file = fopen(path, "rb");
  if (!file)
    fail("cannot open", path);
  if (fread(&images.count, sizeof(uint32_t), 1, file) != 1 || images.count == 0)
    fail("expected a count of images", path);
  images.lengths = allocate(images.count * sizeof(uint32_t));
  images.data = allocate(images.count * sizeof(unsigned char *));
  if (fread(images.lengths, sizeof(uint32_t), images.count, file) != images.count)
    fail("shorter than its count of images", path);
  for (uint32_t index = 0; index < images.count; index++) {
    images.data[index] = allocate(images.lengths[index]);
    if (fread(images.data[index], 1, images.lengths[index], file) != images.lengths[index])
      fail("shorter than the sum of its images", path);
  }
  fclose(file);
  return images;
}

/* Makes room for the blocks of the image whose header has been read. */
static void reserve(Buffer *buffer, j_decompress_ptr cinfo)
{
  size_t blocks = 0;
  for (int index = 0; index < cinfo->num_components; index++) {
    const jpeg_component_info *component = &cinfo->comp_info[index];
    blocks += (size_t)component->height_in_blocks * component->width_in_blocks;
  }
  buffer->used = blocks * DCTSIZE2;
  if (buffer->capacity >= buffer->used)
    return;
  free(buffer->coefficients);
  buffer->coefficients = allocate(buffer->used * sizeof(JCOEF));
  buffer->capacity = buffer->used;
}

static void release(Buffer *buffer)
{
  free(buffer->coefficients);
  buffer->coefficients = NULL;
  buffer->capacity = 0;
}

static void read_image(j_decompress_ptr cinfo, const Images *images, uint32_t number,
                       Buffer *buffer)
{
  jpeg_mem_src(cinfo, images->data[number], images->lengths[number]);
  jpeg_read_header(cinfo, TRUE);
  jvirt_barray_ptr *planes = jpeg_read_coefficients(cinfo);
  reserve(buffer, cinfo);
  JCOEF *target = buffer->coefficients;
  for (int index = 0; index < cinfo->num_components; index++) {
    const jpeg_component_info *component = &cinfo->comp_info[index];
    size_t row_coefficients = (size_t)component->width_in_blocks * DCTSIZE2;
    JDIMENSION step = component->v_samp_factor; /* the most rows that may be asked for at once */
    for (JDIMENSION row = 0; row < component->height_in_blocks; row += step) {
      JDIMENSION left = component->height_in_blocks - row;
      JDIMENSION rows = left < step ? left : step;
      JBLOCKARRAY blocks = cinfo->mem->access_virt_barray((j_common_ptr)cinfo, planes[index], row,
                                                         rows, FALSE);
      for (JDIMENSION offset = 0; offset < rows; offset++) {
        memcpy(target, blocks[offset], row_coefficients * sizeof(JCOEF));
        target += row_coefficients;
      }
    }
  }
  jpeg_finish_decompress(cinfo);
}

static uint32_t crc32(const unsigned char *data, size_t size)
{
  uint32_t crc = 0xFFFFFFFFu;
  for (size_t index = 0; index < size; index++) {
    crc ^= data[index];
    for (int bit = 0; bit < 8; bit++)
      crc = crc >> 1 ^ (0xEDB88320u & -(crc & 1));
  }
  return ~crc;
}

static double seconds(clockid_t clock)
{
  struct timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec + now.tv_nsec * 1e-9;
}

static void time_pass(j_decompress_ptr cinfo, const Images *images, Buffer *buffer, int reuse)
{
  double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_THREAD_CPUTIME_ID);
  for (uint32_t number = 0; number < images->count; number++) {
    read_image(cinfo, images, number, buffer);
    if (!reuse)
      release(buffer);
  }
  cpu = seconds(CLOCK_THREAD_CPUTIME_ID) - cpu;
  wall = seconds(CLOCK_MONOTONIC) - wall;
  printf("{\"wall\": %.9f, \"cpu\": %.9f}", wall, cpu);
}

static void print_checksums(j_decompress_ptr cinfo, const Images *images, Buffer *buffer)
{
  int64_t sum = 0;
  printf("{\"library\": \"%s\", \"images\": %u, \"crc32\": [", LIBRARY, images->count);
  for (uint32_t number = 0; number < images->count; number++) {
    read_image(cinfo, images, number, buffer);
    for (size_t index = 0; index < buffer->used; index++)
      sum += buffer->coefficients[index];
    printf("%s%u", number ? ", " : "",
           crc32((unsigned char *)buffer->coefficients, buffer->used * sizeof(JCOEF)));
  }
  printf("], \"sum\": %lld, \"warnings\": %ld}", (long long)sum, cinfo->err->num_warnings);
}

static int obey(const char *command, j_decompress_ptr cinfo, const Images *images, Buffer *buffer)
{
  if (!strcmp(command, "fresh")) {
    release(buffer);
    time_pass(cinfo, images, buffer, 0);
  } else if (!strcmp(command, "reused")) {
    time_pass(cinfo, images, buffer, 1);
  } else if (!strcmp(command, "checksum")) {
    print_checksums(cinfo, images, buffer);
  } else {
    return 0;
  }
  return 1;
}

static void run_all(long repeats, j_decompress_ptr cinfo, const Images *images, Buffer *buffer)
{
  static const char *const variants[] = {"fresh", "reused"};
  printf("{\"checksum\": ");
  obey("checksum", cinfo, images, buffer);
  for (int variant = 0; variant < 2; variant++) {
    printf(", \"%s\": [", variants[variant]);
    for (long repeat = 0; repeat < repeats; repeat++) {
      printf(repeat ? ", " : "");
      obey(variants[variant], cinfo, images, buffer);
    }
    printf("]");
  }
  printf("}\n");
}

static void run_interactively(j_decompress_ptr cinfo, const Images *images, Buffer *buffer)
{
  char command[32];
  while (fgets(command, sizeof command, stdin)) {
    command[strcspn(command, "\n")] = '\0';
    if (!obey(command, cinfo, images, buffer))
      fail("expected fresh, reused or checksum; got", command);
    printf("\n");
    fflush(stdout);
  }
}

static void keep_memory(void)
{
#ifdef __GLIBC__
  /* 32 MB is the most that glibc takes as a threshold for blocks of their own. */
  if (!mallopt(M_MMAP_THRESHOLD, 32 << 20) || !mallopt(M_TRIM_THRESHOLD, 1 << 30))
    fail("mallopt refuses", "expected a glibc that can keep freed memory");
#endif
}

int main(int argc, char **argv)
{
  int trim = argc == 4 && !strcmp(argv[3], "trim");
  long repeats = argc >= 3 ? strtol(argv[2], NULL, 10) : 0;
  if (argc != 3 + trim || (repeats < 1 && strcmp(argv[2], "-"))) {
    fprintf(stderr, "usage: libjpeg_read IMAGES REPEATS|- [trim]\n");
    return 2;
  }
  if (!trim)
    keep_memory();
  Images images = load_images(argv[1]);

  Buffer buffer = {NULL, 0, 0};
  ErrorHandler handler;
  struct jpeg_decompress_struct cinfo;
  cinfo.err = jpeg_std_error(&handler.base);
  handler.base.error_exit = on_error;
  handler.base.emit_message = count_warning;
  jpeg_create_decompress(&cinfo);
  if (setjmp(handler.caller))
    fail("libjpeg refuses an image", handler.message);

  if (repeats)
    run_all(repeats, &cinfo, &images, &buffer);
  else
    run_interactively(&cinfo, &images, &buffer);
  release(&buffer);
  jpeg_destroy_decompress(&cinfo);
  return 0;
}
