// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion.tensor;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertThrows;

import io.github.beamml.expansion.v1.Field;
import io.github.beamml.expansion.v1.TensorBatchHeader;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import org.junit.Test;

public class TensorBatchTest {

  private static Field field(String name, String datatype, long... shape) {
    Field.Builder field = Field.newBuilder().setName(name).setDatatype(datatype);
    Arrays.stream(shape).forEach(field::addShape);
    return field.build();
  }

  private static void assertRefused(String reason, Runnable action) {
    TensorBatchException e = assertThrows(TensorBatchException.class, action::run);
    assertEquals(reason, e.getMessage());
  }

  @Test
  public void aRowThatIsRolledBackLeavesNoTrace() {
    TensorBatchWriter writer =
        new TensorBatchWriter(
            List.of(field("x", "FP64"), field("tokens", "INT64", -1), field("text", "STRING")));
    writer.beginRow();
    RowValues.write(writer.column(0), 1.5);
    RowValues.write(writer.column(1), List.of(1L, 2L));
    RowValues.write(writer.column(2), "one");
    writer.endRow();
    writer.beginRow();
    RowValues.write(writer.column(0), 2.5);
    RowValues.write(writer.column(1), List.of(3L));
    writer.column(2).put("half a row");
    writer.rollback();

    TensorBatchReader batch = new TensorBatchReader(writer.finish());

    assertEquals(1, batch.rows());
    assertEquals(1.5, batch.column("x").value(0));
    assertEquals(List.of(1L, 2L), batch.column("tokens").value(0));
    assertEquals("one", batch.column("text").value(0));
  }

  @Test
  public void aWriterServesBatchAfterBatch() {
    TensorBatchWriter writer = new TensorBatchWriter(List.of(field("x", "INT32")));
    for (int batch = 0; batch < 3; batch++) {
      writer.beginRow();
      RowValues.write(writer.column(0), batch);
      writer.endRow();
      TensorBatchReader reader = new TensorBatchReader(writer.finish());
      assertEquals(1, reader.rows());
      assertEquals(batch, reader.column("x").value(0));
    }
    assertEquals(0, writer.rows());
  }

  @Test
  public void columnsGrowToWhateverTheyHold() {
    TensorBatchWriter writer =
        new TensorBatchWriter(
            List.of(
                field("x", "FP64"),
                field("flag", "BOOL"),
                field("text", "STRING"),
                field("v", "FP32", 300)));
    String text = "x".repeat(700);
    for (int row = 0; row < 1000; row++) {
      writer.beginRow();
      RowValues.write(writer.column(0), (double) row);
      RowValues.write(writer.column(1), row % 2 == 0);
      RowValues.write(writer.column(2), text + row);
      writer.column(3).putAll(new float[300]);
      writer.column(3).endRow();
      writer.endRow();
    }
    TensorBatchReader batch = new TensorBatchReader(writer.finish());
    for (int row = 0; row < 1000; row++) {
      assertEquals((double) row, batch.column("x").value(row));
      assertEquals(row % 2 == 0, batch.column("flag").value(row));
      assertEquals(text + row, batch.column("text").value(row));
    }
  }

  @Test
  public void everyBufferIsAligned() throws Exception {
    TensorBatchWriter writer =
        new TensorBatchWriter(
            List.of(field("a", "INT8"), field("b", "STRING"), field("c", "FP64")));
    for (int row = 0; row < 3; row++) {
      writer.beginRow();
      RowValues.write(writer.column(0), (byte) row);
      RowValues.write(writer.column(1), "text");
      RowValues.write(writer.column(2), 0.5);
      writer.endRow();
    }
    byte[] batch = writer.finish();
    int headerLength = (int) LittleEndian.INT.get(batch, 8);
    TensorBatchHeader header =
        TensorBatchHeader.parseFrom(
            ByteBuffer.wrap(batch, TensorBatchWriter.PRELUDE_BYTES, headerLength));
    header.getColumnsList().forEach(column -> assertEquals(0, column.getValues().getOffset() % 64));
  }

  @Test
  public void aRunOfEqualTextsIsOneString() {
    TensorBatchWriter writer = new TensorBatchWriter(List.of(field("model_id", "STRING")));
    for (String text : List.of("digits", "digits", "iris")) {
      writer.beginRow();
      RowValues.write(writer.column(0), text);
      writer.endRow();
    }
    ColumnReader column = new TensorBatchReader(writer.finish()).column("model_id");
    assertSame(column.string(0), column.string(1));
    assertEquals("iris", column.string(2));
  }

  @Test
  public void bytesThatAreNoTensorBatchAreRefusedPlainly() {
    assertRefused(
        "not a TensorBatch: it does not start with BMTB", () -> new TensorBatchReader(new byte[4]));
    byte[] empty = new TensorBatchWriter(List.of(field("x", "FP64"))).finish();
    byte[] newer = empty.clone();
    newer[4] = 2;
    assertRefused(
        "a TensorBatch of version 2; this client reads version 1",
        () -> new TensorBatchReader(newer));
    byte[] cut = Arrays.copyOf(empty, 14);
    assertThrows(TensorBatchException.class, () -> new TensorBatchReader(cut));
  }

  @Test
  public void aBufferBeyondTheEndIsRefused() {
    TensorBatchWriter writer = new TensorBatchWriter(List.of(field("x", "FP64")));
    writer.beginRow();
    RowValues.write(writer.column(0), 1.0);
    writer.endRow();
    byte[] batch = writer.finish();
    byte[] cut = Arrays.copyOf(batch, batch.length - 1);
    assertRefused(
        "column \"x\" has a buffer of 8 bytes at 64 in a TensorBatch of 71 bytes; expected 8",
        () -> new TensorBatchReader(cut));
  }

  @Test
  public void aRowOfAnotherShapeIsRefused() {
    TensorBatchWriter writer =
        new TensorBatchWriter(List.of(field("image", "FP32", 2, 2), field("grid", "FP32", -1, 3)));
    writer.beginRow();
    assertRefused(
        "feature \"image\" has shape [1, 2]; expected [2, 2]",
        () -> RowValues.write(writer.column(0), List.of(List.of(1f, 2f))));
    writer.rollback();
    writer.beginRow();
    assertRefused(
        "feature \"image\" has 3 elements, which its shape [2, 2] does not hold",
        () -> {
          writer.column(0).putAll(new float[3]);
          writer.column(0).endRow();
        });
    writer.rollback();
    writer.beginRow();
    assertRefused(
        "feature \"grid\" has 4 elements, which its shape [-1, 3] does not hold",
        () -> {
          writer.column(1).putAll(new float[4]);
          writer.column(1).endRow();
        });
  }

  @Test
  public void anUnknownColumnIsNamed() {
    TensorBatchReader batch =
        new TensorBatchReader(new TensorBatchWriter(List.of(field("x", "FP64"))).finish());
    assertRefused("the TensorBatch has no column \"y\"; it has [x]", () -> batch.column("y"));
  }
}
