// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.beam.sdk.options.PipelineOptions;

/**
 * Expanders of this JVM that an address names, so that a pipeline under test meets a fake where it
 * would call a service, whatever way it takes the address: {@link
 * RunInference#withExpansionService} or {@code --expansionService}.
 */
public final class Expanders {

  private static final Map<String, Expander> REGISTERED = new ConcurrentHashMap<>();

  private Expanders() {}

  /** Makes an expander answer to an address, which is no {@code host:port}. */
  public static void register(String address, Expander expander) {
    REGISTERED.put(address, expander);
  }

  /** Makes an address free again. */
  public static void unregister(String address) {
    REGISTERED.remove(address);
  }

  /** The address that a transform names, else the one that its pipeline's options name. */
  static String address(String ofTransform, PipelineOptions options) {
    return ofTransform != null
        ? ofTransform
        : options.as(ExpansionOptions.class).getExpansionService();
  }

  /** The expander of an address; null or empty means a service that is started for this JVM. */
  static Expander at(String address) {
    if (address == null || address.isEmpty()) {
      return new ServiceExpander(ServiceProcess.shared().expansionAddress());
    }
    Expander registered = REGISTERED.get(address);
    return registered == null ? new ServiceExpander(address) : registered;
  }
}
