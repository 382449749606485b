// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.github.beamml.expansion.tensor.TensorBatchReader;
import io.github.beamml.expansion.v1.Batching;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.IntStream;
import org.apache.beam.sdk.coders.ByteArrayCoder;
import org.apache.beam.sdk.coders.DoubleCoder;
import org.apache.beam.sdk.coders.StringUtf8Coder;
import org.apache.beam.sdk.testing.PAssert;
import org.apache.beam.sdk.testing.TestPipeline;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.transforms.FlatMapElements;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TypeDescriptors;
import org.junit.After;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;

/** How elements are grouped on the wire. */
public class BatchesTest {

  private static final ConcurrentHashMap<String, List<byte[]>> SENT = new ConcurrentHashMap<>();

  @Rule public final transient TestPipeline pipeline = TestPipeline.create();
  @Rule public final transient Sums sums = new Sums();

  private final String address = "recorder:" + UUID.randomUUID();

  /** An expander that keeps the batches that are sent, and answers none. */
  @Before
  public void record() {
    SENT.put(address, Collections.synchronizedList(new ArrayList<>()));
    String key = address;
    Expanders.register(
        address,
        (config, batches, modelUris) -> {
          PCollection<byte[]> nothing =
              batches
                  .apply(
                      FlatMapElements.into(batches.getTypeDescriptor())
                          .via(
                              batch -> {
                                SENT.get(key).add(batch);
                                return List.<byte[]>of();
                              }))
                  .setCoder(ByteArrayCoder.of());
          return new Expander.Expansion(nothing, nothing, List.of(), List.of(), List.of("model_id"));
        });
  }

  @After
  public void forget() {
    Expanders.unregister(address);
  }

  /** One bundle of texts of these lengths. */
  private PCollection<String> texts(int... lengths) {
    List<Integer> list = new ArrayList<>();
    for (int length : lengths) {
      list.add(length);
    }
    return pipeline
        .apply(Create.of(1))
        .apply(
            FlatMapElements.into(TypeDescriptors.strings())
                .via(one -> () -> list.stream().map("x"::repeat).iterator()));
  }

  private RunInference<String, Void> recorded() {
    return RunInference.<String>of(Models.onnx("m.onnx"))
        .feature(Feature.ofString("text", text -> text))
        .carryNothing()
        .withExpansionService(address);
  }

  private List<Integer> sentRows() {
    List<Integer> rows = new ArrayList<>();
    SENT.get(address).forEach(batch -> rows.add(new TensorBatchReader(batch).rows()));
    return rows;
  }

  @Test
  public void aBundleIsOneBatchWhileItIsSmall() {
    texts(10, 20, 30).apply(recorded());
    pipeline.run();
    assertEquals(List.of(3), sentRows());
  }

  @Test
  public void aBatchIsSentBeforeItWouldExceedItsBytes() {
    texts(400, 400, 400, 400, 400).apply(recorded().wireBatchBytes(1000));
    pipeline.run();
    assertEquals(List.of(2, 2, 1), sentRows());
  }

  @Test
  public void bytesOfABatchThatNoArrayHoldsAreRefused() {
    for (long wrong : new long[] {Long.MIN_VALUE, -1, 0, (1L << 30) + 1, 2L << 30}) {
      IllegalArgumentException e =
          assertThrows(IllegalArgumentException.class, () -> recorded().wireBatchBytes(wrong));
      assertEquals("wireBatchBytes: got " + wrong + "; expected 1 to 1073741824", e.getMessage());
    }
    recorded().wireBatchBytes(1).wireBatchBytes(1L << 30);
  }

  @Test
  public void aSingleElementMayExceedTheBytesOfABatch() {
    texts(100, 5000, 100).apply(recorded().wireBatchBytes(1000));
    pipeline.run();
    assertEquals(List.of(1, 1, 1), sentRows());
  }

  @Test
  public void anElementAboveItsLimitIsAnErrorAndItsNeighboursAreSent() {
    Predictions<Void> predictions =
        texts(10, 2000, 20)
            .apply(recorded().batching(Batching.newBuilder().setMaxElementBytes(1000).build()));
    PAssert.that(
            predictions
                .errors()
                .apply(new Mapped<>(e -> e.stage() + ": " + e.message(), StringUtf8Coder.of())))
        .containsInAnyOrder(
            "decode: an element of 2004 bytes; batching.max_element_bytes allows 1000");
    pipeline.run();
    assertEquals(List.of(2), sentRows());
  }

  @Test
  public void anEmptyCollectionSendsNothing() {
    PCollection<String> none = pipeline.apply(Create.empty(StringUtf8Coder.of()));
    none.apply(recorded());
    pipeline.run();
    assertEquals(List.of(), sentRows());
  }

  @Test
  public void aBundleOfErrorsAloneSendsNothing() {
    PCollection<String> texts = texts(1, 2);
    texts.apply(recorded().feature(Feature.ofLong("number", Long::valueOf)));
    pipeline.run();
    assertEquals(List.of(), sentRows());
  }

  @Test
  public void outputAndErrorsAreAsManyAsTheElements() {
    sums.serve(pipeline);
    int count = 100_000;
    PCollection<Double> numbers =
        pipeline
            .apply(Create.of(1))
            .apply(
                FlatMapElements.into(TypeDescriptors.doubles())
                    .via(
                        one ->
                            () ->
                                IntStream.range(0, count)
                                    .mapToObj(i -> i % 100 == 7 ? 13.0 : i + 0.5)
                                    .iterator()));
    Predictions<Double> predictions =
        numbers.setCoder(DoubleCoder.of()).apply(Sums.ofNumbers().wireBatchBytes(100_000));
    PAssert.that(predictions.errors()).satisfies(errors -> assertCount(count / 100, errors));
    PAssert.that(predictions.output())
        .satisfies(output -> assertCount(count - count / 100, output));
    pipeline.run();
  }

  private static Void assertCount(int expected, Iterable<?> elements) {
    int count = 0;
    for (Object element : elements) {
      assertTrue(element != null);
      count++;
    }
    assertEquals(expected, count);
    return null;
  }
}
