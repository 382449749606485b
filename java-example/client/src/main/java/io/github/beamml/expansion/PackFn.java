// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import io.github.beamml.expansion.tensor.TensorBatchException;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.windowing.BoundedWindow;
import org.apache.beam.sdk.transforms.windowing.GlobalWindow;
import org.apache.beam.sdk.transforms.windowing.PaneInfo;
import org.apache.beam.sdk.values.TupleTag;
import org.joda.time.Duration;
import org.joda.time.Instant;

/**
 * Packs elements into TensorBatches in the global window, each at the earliest timestamp of its
 * elements, so that none is ahead of the watermark that they hold.
 *
 * <p>A DoFn that asks for the window is called once for each window of an element. Consecutive
 * calls with one and the same object, timestamp and pane, and a window not seen yet, are therefore
 * one element: packed once, inferred once. Where they were several equal elements in different
 * windows, the result is the same.
 */
final class PackFn<T, C> extends DoFn<T, byte[]> {

  private static final long serialVersionUID = 1L;

  private final Packing<T, C> packing;
  private final BatchLimits limits;
  private final String modelId;
  private final TupleTag<InferenceError<C>> errors;

  private transient Packing<T, C>.Rows rows;

  /** The element whose row is open, or that failed; its windows so far. */
  private transient T current;

  private transient Placement placement;
  private transient InferenceError<C> failure;
  private transient Instant earliest;

  PackFn(
      Packing<T, C> packing,
      BatchLimits limits,
      String modelId,
      TupleTag<InferenceError<C>> errors) {
    this.packing = packing;
    this.limits = limits;
    this.modelId = modelId;
    this.errors = errors;
  }

  /**
   * Batches are earlier than the element that fills them, though never earlier than the bundle's
   * first.
   */
  @Override
  @Deprecated
  public Duration getAllowedTimestampSkew() {
    return Placement.ANY_SKEW;
  }

  /** Starts with nothing, also after a bundle that failed half way. */
  @StartBundle
  public void startBundle() {
    if (rows == null) {
      rows = packing.rows();
    }
    rows.clear();
    forget();
    earliest = null;
  }

  /** Takes one window of one element. */
  @ProcessElement
  public void process(
      @Element T element,
      @Timestamp Instant timestamp,
      BoundedWindow window,
      PaneInfo pane,
      MultiOutputReceiver out)
      throws IOException {
    if (isCurrent(element, timestamp, pane) && !placement.windows.contains(window)) {
      placement.windows.add(window);
    } else {
      close();
      if (rows.count() >= BatchLimits.ROWS) {
        flush(out);
      }
      current = element;
      List<BoundedWindow> windows = new ArrayList<>(1);
      windows.add(window);
      placement = new Placement(timestamp, windows, pane);
      open(element, out);
    }
    if (failure != null) {
      out.get(errors).outputWindowedValue(failure, timestamp, List.of(window), pane);
    }
  }

  /** Sends what is left. */
  @FinishBundle
  public void finishBundle(FinishBundleContext context) throws IOException {
    close();
    if (rows.count() > 0) {
      Instant timestamp = earliest;
      context.output(finish(), timestamp, GlobalWindow.INSTANCE);
    }
  }

  private boolean isCurrent(T element, Instant timestamp, PaneInfo pane) {
    return placement != null
        && element == current
        && timestamp.getMillis() == placement.timestamp.getMillis()
        && pane.equals(placement.pane);
  }

  /**
   * Opens the row of an element, in a new batch if it would make this one too large, or notes why
   * it has none.
   */
  private void open(T element, MultiOutputReceiver out) throws IOException {
    put(element);
    if (failure == null && rows.count() > 0 && rows.size() > limits.bytes) {
      rows.rollback();
      flush(out);
      put(element);
    }
  }

  private void put(T element) throws IOException {
    try {
      rows.putFeatures(element);
    } catch (RuntimeException e) {
      fail(element, e.getClass().getSimpleName(), String.valueOf(e.getMessage()));
      return;
    }
    try {
      rows.putCarried(element);
    } catch (TensorBatchException e) {
      fail(element, "ElementTooLarge", e.getMessage());
      return;
    }
    if (rows.sizeOfRow() > limits.elementBytes) {
      fail(
          element,
          "ElementTooLarge",
          "an element of "
              + rows.sizeOfRow()
              + " bytes; batching.max_element_bytes allows "
              + limits.elementBytes);
    }
  }

  private void fail(T element, String errorType, String message) {
    rows.rollback();
    failure = InferenceError.of(packing.carry.of(element), "decode", errorType, message, modelId);
  }

  /** Closes the row of the current element: its next call, if any, is another element's. */
  private void close() throws IOException {
    if (placement != null && failure == null) {
      rows.close(placement);
      if (earliest == null || placement.timestamp.isBefore(earliest)) {
        earliest = placement.timestamp;
      }
    }
    forget();
  }

  private void forget() {
    current = null;
    placement = null;
    failure = null;
  }

  private void flush(MultiOutputReceiver out) {
    Instant timestamp = earliest;
    out.get(Packed.BATCHES)
        .outputWindowedValue(
            finish(), timestamp, List.of(GlobalWindow.INSTANCE), PaneInfo.NO_FIRING);
  }

  private byte[] finish() {
    earliest = null;
    return rows.finish();
  }
}
