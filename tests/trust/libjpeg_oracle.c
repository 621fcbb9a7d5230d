/* One function that reads the coefficients of a JPEG in memory with libjpeg and never exits:
 * the independent answer that this project's reader is compared with. Loaded by libjpeg.py.
 */
#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#define MAX_CODES 16

/* Mirrored by libjpeg.py: _Answer. */
typedef struct {
  int width, height, components, color_space, progressive;
  int rows[MAX_COMPONENTS], columns[MAX_COMPONENTS];
  int h[MAX_COMPONENTS], v[MAX_COMPONENTS];
  unsigned short quantization[MAX_COMPONENTS][DCTSIZE2]; /* zigzag order */
  int error;    /* code of the message libjpeg gave up with, 0 for none */
  int warnings; /* how many */
  int codes;    /* how many different ones are in warning_codes */
  int warning_codes[MAX_CODES];
  long size;           /* elements of coefficients */
  short *coefficients; /* [component][rows][columns][64], zigzag order; owned by the answer */
} answer;

typedef struct {
  struct jpeg_error_mgr base; /* first, so that a pointer to it is one to this */
  jmp_buf escape;
  answer *out;
} error_manager;

static void give_up(j_common_ptr info) {
  error_manager *errors = (error_manager *)info->err;
  errors->out->error = errors->base.msg_code;
  longjmp(errors->escape, 1);
}

static void note_warning(j_common_ptr info, int level) {
  answer *out = ((error_manager *)info->err)->out;
  int i, code = info->err->msg_code;
  if (level >= 0) return; /* only a trace */
  out->warnings++;
  for (i = 0; i < out->codes; i++)
    if (out->warning_codes[i] == code) return;
  if (out->codes < MAX_CODES) out->warning_codes[out->codes++] = code;
}

static void print_nothing(j_common_ptr info) { (void)info; }

/* T.81 Figure A.6: along the anti-diagonals, odd ones downwards, even ones upwards. */
static void fill_zigzag(int *zigzag) {
  int diagonal, step, k = 0;
  for (diagonal = 0; diagonal < 15; diagonal++)
    for (step = 0; step <= diagonal; step++) {
      int row = diagonal % 2 ? step : diagonal - step, column = diagonal - row;
      if (row < 8 && column < 8) zigzag[k++] = 8 * row + column;
    }
}

static void copy_tables(j_decompress_ptr info, const int *zigzag, answer *out) {
  int c, k;
  for (c = 0; c < info->num_components; c++) {
    jpeg_component_info *component = &info->comp_info[c];
    out->rows[c] = component->height_in_blocks;
    out->columns[c] = component->width_in_blocks;
    out->h[c] = component->h_samp_factor;
    out->v[c] = component->v_samp_factor;
    out->size += (long)out->rows[c] * out->columns[c] * DCTSIZE2;
    if (component->quant_table == NULL) continue; /* no scan of the component came: zeros */
    for (k = 0; k < DCTSIZE2; k++)
      out->quantization[c][k] = component->quant_table->quantval[zigzag[k]];
  }
}

static void copy_coefficients(j_decompress_ptr info, jvirt_barray_ptr *arrays, const int *zigzag,
                              short *to) {
  int c, row, column, k;
  for (c = 0; c < info->num_components; c++) {
    jpeg_component_info *component = &info->comp_info[c];
    for (row = 0; row < (int)component->height_in_blocks; row++) {
      JBLOCKARRAY blocks = (*info->mem->access_virt_barray)((j_common_ptr)info, arrays[c],
                                                            (JDIMENSION)row, 1, FALSE);
      for (column = 0; column < (int)component->width_in_blocks; column++, to += DCTSIZE2)
        for (k = 0; k < DCTSIZE2; k++) to[k] = blocks[0][column][zigzag[k]];
    }
  }
}

/* Fill `out`, with out->error set where libjpeg refuses the data; max_memory in bytes. */
void oracle_read(const unsigned char *data, unsigned long size, long max_memory, answer *out) {
  struct jpeg_decompress_struct info;
  error_manager errors;
  jvirt_barray_ptr *arrays;
  int zigzag[DCTSIZE2];

  memset(out, 0, sizeof *out);
  fill_zigzag(zigzag);
  info.err = jpeg_std_error(&errors.base);
  errors.base.error_exit = give_up;
  errors.base.emit_message = note_warning;
  errors.base.output_message = print_nothing;
  errors.out = out;
  if (setjmp(errors.escape)) {
    jpeg_destroy_decompress(&info);
    return;
  }
  jpeg_create_decompress(&info);
  info.mem->max_memory_to_use = max_memory;
  jpeg_mem_src(&info, data, size);
  jpeg_read_header(&info, TRUE);
  out->width = info.image_width;
  out->height = info.image_height;
  out->components = info.num_components;
  out->color_space = info.jpeg_color_space;
  arrays = jpeg_read_coefficients(&info);
  out->progressive = info.progressive_mode;
  copy_tables(&info, zigzag, out);
  out->coefficients = malloc((size_t)out->size * sizeof(short));
  if (out->coefficients == NULL) {
    out->error = JERR_OUT_OF_MEMORY;
  } else {
    copy_coefficients(&info, arrays, zigzag, out->coefficients);
  }
  jpeg_destroy_decompress(&info);
}

void oracle_free(answer *out) {
  free(out->coefficients);
  out->coefficients = NULL;
}

/* The text of a message, with printf's places for its numbers; empty for unknown codes. */
const char *oracle_message(int code) {
  struct jpeg_error_mgr errors;
  jpeg_std_error(&errors);
  if (code <= 0 || code > errors.last_jpeg_message) return "";
  return errors.jpeg_message_table[code];
}

#define TEXT(x) #x
#define TEXT_OF(x) TEXT(x)

const char *oracle_version(void) {
#ifdef LIBJPEG_TURBO_VERSION
  return "libjpeg-turbo " TEXT_OF(LIBJPEG_TURBO_VERSION);
#else
  return "libjpeg " TEXT_OF(JPEG_LIB_VERSION);
#endif
}
